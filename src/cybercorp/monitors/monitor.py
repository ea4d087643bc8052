"""What a monitor is: one subject of this machine that writes its readings into slots of a shared row."""

from __future__ import annotations

import hashlib
from array import array
from typing import NamedTuple, Protocol

import msgspec

from cybercorp.protocol.metrics import MetricKind, Series

NAN = float("nan")


class Monitor(Protocol):
    """One subject. `series` is what it reads now; its slots in the row are `start … start+len(series)`.

    `devices` are the attributes that tell its devices apart (none: it has no devices). `present` is False where this
    machine has nothing of the kind, which is no failure; `series` is then empty.
    """

    name: str
    devices: tuple[str, ...]
    present: bool
    series: tuple[Series, ...]

    def read(self, values: array[float], start: int, now: float) -> bool:
        """Write a value for each of `series` (NaN: none this time), or return False after `series` became another.

        `now` is monotonic seconds. Raises PartlyReadError after writing what could be read; any other exception means
        that nothing was read.
        """
        ...

    def close(self) -> None:
        """Let go of files and threads."""
        ...


class Scheduled(NamedTuple):
    """A monitor and how many seconds lie between two readings of it (0: every call)."""

    monitor: Monitor
    interval_s: float


class PartlyReadError(Exception):
    """Some values were written, others could not be read."""


class MonitorHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How a monitor is. `error` says why it is not `ok`; `present` is False where there is nothing of the kind."""

    name: str
    ok: bool
    error: str = ""
    duration_s: float = 0.0
    present: bool = True


def gauge(name: str, unit: str, /, **attributes: str) -> Series:
    """A series that is a reading."""
    return Series(name=name, unit=unit, kind=MetricKind.GAUGE, attributes=attributes)


def counter(name: str, unit: str, /, **attributes: str) -> Series:
    """A series that only grows until it is reset."""
    return Series(name=name, unit=unit, kind=MetricKind.COUNTER, attributes=attributes)


def attribute_text(raw: bytes | str, limit: int = 255) -> str:
    """A name from the kernel as an attribute: valid UTF-8, other bytes written `\\xff`, cut to `limit` characters."""
    text = raw if isinstance(raw, str) else raw.decode("utf-8", "backslashreplace")
    if any("\ud800" <= one <= "\udfff" for one in text):
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if len(text) <= limit:
        return text
    # Two long names with one beginning have to stay two.
    return f"{text[: limit - 9]}…{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
