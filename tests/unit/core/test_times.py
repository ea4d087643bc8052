"""core.times: times and durations as people write them."""

import contextlib
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.core.errors import TimeExpressionError
from cybercorp.core.times import format_duration_ms, parse_duration_ms, parse_time_ms

UTC = dt.UTC
NOW = int(dt.datetime(2026, 11, 23, 14, 3, 27, tzinfo=UTC).timestamp() * 1000)


def at(*parts: int) -> int:
    return int(dt.datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("15m", 900_000), ("2h", 7_200_000), ("7d", 604_800_000), ("1h30m", 5_400_000), ("250ms", 250), ("1.5s", 1500)],
)
def test_durations_are_read(text: str, milliseconds: int) -> None:
    """Every unit and their combinations give exact milliseconds."""
    assert parse_duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "15", "m", "15 minutes", "-5m", "0s", "5m3", "1e3s", "9" * 30 + "d", "999999999d"]
)
def test_what_is_no_duration_is_refused_with_a_hint(text: str) -> None:
    """A duration that cannot be read, is nothing or is out of range gives a clear error."""
    with pytest.raises(TimeExpressionError) as caught:
        parse_duration_ms(text)
    assert caught.value.hint


@given(st.integers(min_value=1, max_value=10**12))
def test_durations_survive_writing_and_reading(duration_ms: int) -> None:
    """Formatting a duration and parsing it again gives the same milliseconds."""
    assert parse_duration_ms(format_duration_ms(duration_ms)) == duration_ms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("15m", NOW - 900_000),
        ("3m ago", NOW - 180_000),
        ("yesterday 03:00", at(2026, 11, 22, 3, 0)),
        ("today", at(2026, 11, 23)),
        ("03:12", at(2026, 11, 23, 3, 12)),
        ("3:12:05", at(2026, 11, 23, 3, 12, 5)),
        ("23:50", at(2026, 11, 22, 23, 50)),
        ("2026-11-20", at(2026, 11, 20)),
        ("2026-11-20T08:30:00", at(2026, 11, 20, 8, 30)),
        ("2026-11-20T08:30:00+02:00", at(2026, 11, 20, 6, 30)),
        ("2026-11-20T08:30:00Z", at(2026, 11, 20, 8, 30)),
    ],
)
def test_times_are_read(text: str, expected: int) -> None:
    """Relative, clock, calendar and ISO 8601 times mean what a person means; a clock time to come is yesterday's."""
    assert parse_time_ms(text, now_ms=NOW, tz=UTC) == expected


@pytest.mark.parametrize("text", ["", "soon", "25:00", "2026-13-01", "yesterday 99:00", "ago", "\x1b[31m", "9" * 400])
def test_what_is_no_time_is_refused_with_a_hint(text: str) -> None:
    """Nonsense is a clear error with examples, never a crash."""
    with pytest.raises(TimeExpressionError) as caught:
        parse_time_ms(text, now_ms=NOW, tz=UTC)
    assert caught.value.hint


@given(st.text(max_size=30))
def test_no_text_crashes_the_parser(text: str) -> None:
    """Any text is a time or a TimeExpressionError."""
    with contextlib.suppress(TimeExpressionError):
        parse_time_ms(text, now_ms=NOW, tz=UTC)
