"""What a column is. A noun defines its columns once, beside its command; every format prints from that definition."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from cybercorp.core.units import UNKNOWN, format_value

RowT = TypeVar("RowT")
_DAY_MS = 86_400_000
Value = str | int | float | bool | None | Mapping[str, Any] | Sequence[Any]


class Column(msgspec.Struct, Generic[RowT], frozen=True, kw_only=True):
    """One column of a noun.

    `key` and `value` are for programs: raw numbers, ISO 8601 times. `unit` (UCUM) or `text` says how a person reads
    the value. A narrow terminal drops the columns of the highest `rank` first and cuts the `flexible` ones. `style`
    names a terminal style for a row. A `detail` stands in json, ndjson, yaml and csv only. `width` is what a column
    takes where rows come one by one.
    """

    key: str
    value: Callable[[RowT], Value]
    title: str = ""
    unit: str = ""
    text: Callable[[RowT], str] | None = None
    style: Callable[[RowT], str] | None = None
    right: bool = False
    rank: int = 0
    flexible: bool = False
    detail: bool = False
    width: int = 0

    @property
    def heading(self) -> str:
        return self.title or self.key.upper().replace("_", " ")

    def cell(self, row: RowT) -> str:
        """The value as a person reads it; foreign text in it is not safe yet."""
        if self.text is not None:
            return self.text(row) or UNKNOWN
        value = self.value(row)
        if self.unit:
            return format_value(value if isinstance(value, int | float) else None, self.unit)
        return flat(value) or UNKNOWN


def flat(value: Value) -> str:
    """A value on one line: `a=1 b=2` for a mapping, `a b` for a list, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={flat(one)}" for key, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(flat(one) for one in value)
    return str(value)


def iso_time(timestamp_ms: int | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, which every program reads: `2026-11-23T03:12:00.000Z`."""
    if timestamp_ms is None:
        return None
    try:
        moment = dt.datetime.fromtimestamp(timestamp_ms / 1000, dt.UTC)
    except (OverflowError, OSError, ValueError):
        return None  # a hostile or broken clock
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_time(timestamp_ms: int | None) -> str:
    """The local wall clock to the second, as a person reads it."""
    if timestamp_ms is None:
        return UNKNOWN
    try:
        return dt.datetime.fromtimestamp(timestamp_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return UNKNOWN


def short_time(timestamp_ms: int | None, now_ms: int) -> str:
    """The local wall clock where that is less than a day ago, else the date."""
    text = local_time(timestamp_ms)
    if timestamp_ms is None or text == UNKNOWN:
        return UNKNOWN
    return text[11:] if abs(now_ms - timestamp_ms) < _DAY_MS else text[:10]
