"""Times as people write them: `15m`, `2h`, `7d`, `3m ago`, ISO 8601, `yesterday 03:00`, `now`."""

from __future__ import annotations

import datetime as dt
import re

from cybercorp.core.errors import TimeExpressionError

_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(ms|s|m|h|d|w))", re.ASCII)
_DAYS = {"today": 0, "yesterday": -1}
_HINT = "Write a time like 15m, 2h, '3m ago', 14:30, 'yesterday 03:00' or 2026-11-23T03:12:00."
_LONGEST_MS = 100 * 365 * 86_400_000


def parse_duration_ms(text: str) -> int:
    """`90s`, `1h30m`, `250ms` as whole milliseconds, more than nothing.

    Raises TimeExpressionError for anything else.
    """
    compact = text.strip().replace(" ", "")
    parts = _DURATION.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact or len(compact) > 40:
        raise TimeExpressionError(f"'{text}' is not a duration.", hint="Write one like 10s, 15m, 1h30m or 7d.")
    total = round(sum(float(number) * _UNIT_MS[unit] for number, unit in parts))
    if not 0 < total <= _LONGEST_MS:
        raise TimeExpressionError(f"The duration '{text}' is out of range.", hint="Use 1ms up to 100 years.")
    return total


def format_duration_ms(duration_ms: int) -> str:
    """The shortest exact way to write a duration: `90000` is `1m30s`."""
    if duration_ms <= 0:
        return "0s"
    parts = []
    rest = duration_ms
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _UNIT_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def parse_time_ms(text: str, *, now_ms: int, tz: dt.tzinfo | None = None) -> int:
    """An instant as Unix milliseconds. A bare duration means that long ago; times without a zone are local.

    Raises TimeExpressionError for what is no time.
    """
    words = text.strip().lower()
    if words == "now":
        return now_ms
    if words.endswith(" ago"):
        return now_ms - parse_duration_ms(words.removesuffix(" ago"))
    if _DURATION.match(words) and words[-1] in "smhdw" and not words[:4].endswith("-"):
        return now_ms - parse_duration_ms(words)
    moment = _parse_calendar(text.strip(), now_ms=now_ms, tz=tz)
    if moment is None:
        raise TimeExpressionError(f"'{text}' is not a time.", hint=_HINT)
    return moment


def _parse_calendar(text: str, *, now_ms: int, tz: dt.tzinfo | None) -> int | None:
    zone = tz or dt.datetime.now().astimezone().tzinfo
    today = dt.datetime.fromtimestamp(now_ms / 1000, zone)
    words = text.lower().split()
    try:
        if words and words[0] in _DAYS and len(words) <= 2:
            day = (today + dt.timedelta(days=_DAYS[words[0]])).date()
            clock = dt.time.fromisoformat(words[1]) if len(words) == 2 else dt.time(0)
            return _to_ms(_local(day, clock, tz))
        if len(words) == 1 and re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", words[0]):
            clock = dt.time.fromisoformat(words[0].zfill(5) if words[0].count(":") == 1 else words[0].zfill(8))
            moment = _local(today.date(), clock, tz)
            # A clock time that has not come yet today can only mean yesterday's: history is what is asked for.
            return _to_ms(moment if _to_ms(moment) <= now_ms else moment - dt.timedelta(days=1))
        parsed = dt.datetime.fromisoformat(text)
        return _to_ms(parsed if parsed.tzinfo else _local(parsed.date(), parsed.time(), tz))
    except (ValueError, OverflowError, OSError):
        return None


def _local(day: dt.date, clock: dt.time, tz: dt.tzinfo | None) -> dt.datetime:
    naive = dt.datetime.combine(day, clock)
    return naive.replace(tzinfo=tz) if tz else naive.astimezone()


def _to_ms(moment: dt.datetime) -> int:
    return round(moment.timestamp() * 1000)
