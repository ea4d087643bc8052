"""The time bar's columns, values and marks."""

from __future__ import annotations

from cybercorp.protocol.events import Severity
from cybercorp.protocol.metrics import MetricKind, QueryAnswer, SeriesPoints
from cybercorp.tui.state.time_track import TimeTrack, columns_for
from tests.unit.tui.fake_client import START_MS, event


def answer(start_ms: int, step_ms: int, *rows: list[float | None]) -> QueryAnswer:
    series = [
        SeriesPoints(
            host=f"h{i}", host_id=f"h{i}", name="cpu", attributes={}, unit="1", kind=MetricKind.GAUGE, values=row
        )
        for i, row in enumerate(rows)
    ]
    return QueryAnswer(start_ms=start_ms, step_ms=step_ms, points=len(rows[0]), aggregation="avg", series=series)


def test_columns_stand_on_the_clock() -> None:
    """The bar moves by whole columns: half a column later it is the same."""
    first = columns_for(START_MS - 1_800_000, START_MS, 60)
    assert (first.step_ms, first.length, first.start_ms % first.step_ms) == (30_000, 60, 0)
    assert columns_for(START_MS - 1_799_000, START_MS + 1_000, 60).start_ms == first.start_ms + 30_000
    assert columns_for(START_MS - 1_789_000, START_MS + 11_000, 60).start_ms == first.start_ms + 30_000


def test_now_is_in_the_last_column() -> None:
    """What happens now is drawn at the right end."""
    columns = columns_for(START_MS - 1_800_000 + 777, START_MS + 777, 53)
    assert columns.column_at(START_MS + 776) == columns.length - 1


def test_the_fleets_line_is_the_mean_of_the_hosts_that_said_something() -> None:
    """A host without a value does not count as zero."""
    columns = columns_for(START_MS - 40_000, START_MS, 4)
    track = TimeTrack()
    track.fill(
        answer(columns.start_ms, 10_000, [0.2, None, 0.4, 1.0], [0.4, None, None, 0.0]),
        0,
        columns.end_ms,
        now_ms=START_MS,
    )
    assert [one and round(one, 6) for one in track.values(columns)] == [0.3, None, 0.4, 0.5]


def test_only_what_is_new_is_asked_for_again() -> None:
    """After the first answer, the step that was not over then and what follows it; of the past nothing at all."""
    columns = columns_for(START_MS - 40_000, START_MS, 4)
    track = TimeTrack()
    assert track.missing(columns) == (columns.start_ms, columns.end_ms)
    track.fill(answer(columns.start_ms, 10_000, [0.1] * 4), columns.start_ms, columns.end_ms, now_ms=START_MS)
    later = columns_for(START_MS - 10_000, START_MS + 30_000, 4)
    assert track.missing(later) == (columns.end_ms - 10_000, later.end_ms)
    track.fill(answer(columns.start_ms, 10_000, [0.1] * 4), columns.start_ms, columns.end_ms, now_ms=START_MS + 60_000)
    since, until = track.missing(columns)
    assert since >= until
    track.doubt()
    assert track.missing(later) == (later.start_ms, later.end_ms)


def test_longer_steps_than_columns_fill_every_column() -> None:
    """Until the answer for a closer look is here, the bar has no holes from the steps of the old one."""
    columns = columns_for(START_MS - 80_000, START_MS, 8)
    track = TimeTrack()
    start = columns.start_ms - columns.start_ms % 20_000
    track.fill(answer(start, 20_000, [0.1, 0.2, 0.3, 0.4, 0.5]), start, columns.end_ms, now_ms=START_MS)
    assert None not in track.values(columns)


def test_the_worst_event_of_a_column_is_its_mark() -> None:
    """✖ before ▲; information is not marked; another host's events are not this host's."""
    columns = columns_for(START_MS - 40_000, START_MS, 4)
    track = TimeTrack()
    track.add_events(
        [
            event(1, severity=Severity.WARNING, time_ms=START_MS - 1),
            event(2, severity=Severity.ERROR, time_ms=START_MS - 2),
            event(3, severity=Severity.INFO, time_ms=START_MS - 15_000),
        ]
    )
    assert {column: mark.glyph for column, mark in track.marks(columns).items()} == {3: "✖"}
    assert {column: mark.glyph for column, mark in track.marks(columns, host_id="host_0001").items()} == {3: "▲"}
