"""Histories and rates: resets repaired, holes kept as holes, a clock that steps back forgets its future."""

from __future__ import annotations

import math

import pytest

from cybercorp.tui.state.charts import Column
from cybercorp.tui.state.host_tracks import CounterRates, Track


def test_rate_is_growth_per_second() -> None:
    """Two readings two seconds apart give half the difference; the first gives nothing."""
    rates = CounterRates()
    assert rates.read(0, 1000, 10.0) is None
    assert rates.read(0, 3000, 30.0) == 10.0


def test_rate_survives_a_counter_reset() -> None:
    """After a reset the counter itself is the growth; it is never negative."""
    rates = CounterRates()
    rates.read(0, 1000, 1e12)
    assert rates.read(0, 2000, 500.0) == 500.0
    assert rates.read(0, 3000, 700.0) == 200.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
def test_rate_of_an_impossible_reading_is_unknown(bad: float) -> None:
    """NaN, infinity and negative counters give no rate and do not poison the next one."""
    rates = CounterRates()
    rates.read(0, 1000, 100.0)
    assert rates.read(0, 2000, bad) is None
    assert rates.read(0, 3000, 300.0) == 100.0


def test_rate_across_a_clock_that_steps_back() -> None:
    """No rate is made over time that ran backwards; the next reading counts from there."""
    rates = CounterRates()
    rates.read(0, 10_000, 100.0)
    assert rates.read(0, 5_000, 200.0) is None
    assert rates.read(0, 6_000, 250.0) == 50.0


def test_slots_do_not_share_readings() -> None:
    """Each slot has its own past; clear forgets all of them."""
    rates = CounterRates()
    rates.read(1, 1000, 5.0)
    assert rates.read(2, 2000, 6.0) is None
    rates.clear()
    assert rates.read(1, 3000, 9.0) is None


def track_of(*points: tuple[int, float | None]) -> Track:
    track = Track()
    for timestamp_ms, value in points:
        track.append(timestamp_ms, value)
    return track


def test_columns_have_the_band_of_their_time() -> None:
    """A column holds the smallest, average and largest value of its step."""
    track = track_of(*((1000 * second, float(second % 4)) for second in range(100, 140)))
    columns = track.columns(139_999, 10, window_ms=40_000)
    assert columns == [Column(0.0, 1.5, 3.0)] * 10


def test_columns_do_not_change_shape_when_time_moves_on() -> None:
    """Columns are aligned to absolute time: a second later they are the same, shifted by at most one."""
    track = track_of(*((1000 * second, math.sin(second)) for second in range(1000, 1300)))
    before = track.columns(1_299_000, 37)
    track.append(1_300_000, 0.5)
    after = track.columns(1_300_000, 37)
    assert after[:-1] in (before[1:], before[:-1])


def test_a_hole_stays_a_hole() -> None:
    """Seconds without samples are unknown, while a sampling gap is bridged."""
    track = track_of((1000, 1.0), (2000, 1.0), (20_000, 1.0))
    columns = track.columns(20_999, 20, window_ms=20_000)
    assert [one is not None for one in columns] == [True] * 4 + [False] * 15 + [True]


def test_a_slow_interval_has_no_holes() -> None:
    """A host that samples every ten seconds is drawn as a line, not as dots."""
    track = track_of(*((10_000 * step, 0.5) for step in range(30)))
    columns = track.columns(290_000, 100, window_ms=200_000, interval_ms=10_000)
    assert all(one is not None for one in columns)


def test_unknown_values_are_not_bridged() -> None:
    """A sample that says unknown is unknown, whatever was known before."""
    track = track_of((1000, 1.0), (2000, math.nan), (3000, None))
    assert [one is not None for one in track.columns(3999, 3, window_ms=3000)] == [True, False, False]


def test_history_is_put_before_what_is_there() -> None:
    """A range query fills the time before the first live row and never overwrites it."""
    track = track_of((10_000, 5.0), (11_000, 6.0))
    track.fill([(8000, 1.0), (9000, None), (10_000, 9.0), (11_000, 9.0)])
    assert track.first_ms == 8000
    assert track.values(11_999, 4, window_ms=4000) == [1.0, 1.0, 5.0, 6.0]


def test_history_closes_the_hole_of_a_cut() -> None:
    """What was missed while the connection was away is put between the live rows, in order, once."""
    track = track_of((10_000, 5.0), (20_000, 6.0))
    points = [(stamp, 1.0) for stamp in range(9_300, 22_300, 1000)]
    track.fill(points)
    track.fill(points)
    assert track.values(20_999, 11, window_ms=11_000) == [5.0, *[1.0] * 9, 6.0]
    assert track.last == 1.0
    assert len(track) == 11


def test_a_clock_that_steps_back_forgets_its_future() -> None:
    """A row with an older stamp drops what was known after it, so order is kept."""
    track = track_of((1000, 1.0), (2000, 2.0), (3000, 3.0), (1500, 9.0))
    assert len(track) == 2
    assert (track.last, track.last_ms) == (9.0, 1500)


def test_memory_is_bounded() -> None:
    """Hours of samples keep little more than the window."""
    track = track_of(*((1000 * second, 1.0) for second in range(10_000)))
    assert len(track) < 500


def test_the_value_at_an_instant() -> None:
    """The newest value not after the instant, if it is recent enough."""
    track = track_of((1000, 1.0), (2000, 2.0))
    assert track.at(1999) == 1.0
    assert track.at(2000) == 2.0
    assert track.at(999) is None
    assert track.at(60_000) is None


def test_the_largest_value_of_the_window() -> None:
    """Scales come from what the window holds, unknown values left out."""
    track = track_of((1000, 7.0), (2000, None), (3000, 2.0))
    assert track.largest(3000) == 7.0
    assert track.largest(3000, window_ms=1500) == 2.0
    assert Track().largest(3000) is None
