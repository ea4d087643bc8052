"""Promises of the kept past of one host."""

from __future__ import annotations

import random

from cybercorp.protocol.metrics import MetricKind, QueryAnswer, SeriesPoints
from cybercorp.tui.state.host_past import STEP_MS, PastTracks
from cybercorp.tui.state.host_tracks import WINDOW_MS

START = 1_800_000_001_000


def answer(since_ms: int, until_ms: int) -> QueryAnswer:
    """A value for each second that follows from the second; every hundredth is a hole."""
    start = since_ms - since_ms % STEP_MS
    count = -(-(until_ms - start) // STEP_MS)
    seconds = [start // STEP_MS + index for index in range(count)]
    values = [None if second % 100 == 0 else (second % 97) / 97 for second in seconds]
    series = SeriesPoints(
        host="h", host_id="h", name="cpu", attributes={}, unit="1", kind=MetricKind.GAUGE, values=values
    )
    return QueryAnswer(start_ms=start, step_ms=STEP_MS, points=count, aggregation="avg", series=[series])


def shown(tracks: PastTracks, at_ms: int) -> list[float | None]:
    """The chart of an instant."""
    return tracks.at(at_ms)["cpu"].values(at_ms, 60)


def ask(tracks: PastTracks, at_ms: int, ahead_ms: int = 0) -> int:
    """Bring what an instant lacks; how many milliseconds were asked for."""
    missing = tracks.missing(at_ms, ahead_ms)
    if missing is None:
        return 0
    tracks.fill(answer(*missing), *missing)
    return missing[1] - missing[0]


def test_however_one_came_to_an_instant_it_looks_the_same() -> None:
    """After any walk of steps, jumps and playing, the picture is that of whoever goes there at once."""
    draw = random.Random(5)
    tracks, at_ms = PastTracks(), START
    for _ in range(200):
        at_ms += draw.choice((1_000, 10_000, 60_000, -15_000, -300_000, 7_200_000, -7_000_123))
        ask(tracks, at_ms, draw.choice((0, 60_000, 600_000)))
        fresh = PastTracks()
        ask(fresh, at_ms)
        assert shown(tracks, at_ms) == shown(fresh, at_ms)


def test_the_future_of_an_instant_is_not_in_its_picture() -> None:
    """What was asked for ahead is kept for later, and not shown before its time."""
    tracks = PastTracks()
    ask(tracks, START, 600_000)
    track = tracks.at(START)["cpu"]
    assert track.last_ms == START
    assert track.first_ms is not None
    assert track.first_ms >= START - WINDOW_MS


def test_playing_asks_once_for_many_pictures() -> None:
    """At 60×, four pictures a second: ten minutes ahead are forty pictures from one question."""
    tracks, questions = PastTracks(), 0
    for picture in range(120):
        questions += ask(tracks, START + picture * 15_000, 600_000) > 0
    assert questions == 3


def test_a_step_asks_for_what_is_new_only() -> None:
    """A step of 15 seconds costs 15 seconds of history, forwards and backwards."""
    tracks = PastTracks()
    assert ask(tracks, START) == WINDOW_MS + STEP_MS
    assert ask(tracks, START + 15_000) == 15_000
    assert ask(tracks, START) == 0
    assert ask(tracks, START - 15_000) == 15_000
    tracks.clear()
    assert ask(tracks, START) == WINDOW_MS + STEP_MS
