"""Exact intervals against an oracle in plain Python."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cybercorp.store.timeseries.reading.intervals import Intervals, combine, roll_up
from tests.unit.store.timeseries.tier_oracle import STEP_MS, assert_intervals, grown, oracle_interval

START_MS = 1_800_000_000_000
VALUES = st.one_of(
    st.floats(-1e6, 1e6),
    st.integers(0, 1000).map(lambda one: one / 10),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308, -1e308]),
)
ROWS = st.lists(st.tuples(st.integers(-5, 400), VALUES, VALUES), min_size=1, max_size=60)


def _arrays(rows: Sequence[tuple[int, float, float]]) -> tuple[np.ndarray, np.ndarray]:
    times = np.array([START_MS + second * 1000 for second, *_ in rows], dtype=np.int64)
    return times, np.array([values for _, *values in rows])


def _same(found: float, expected: float) -> bool:
    return struct.pack("<d", found + 0.0) == struct.pack("<d", expected + 0.0) or (
        found != found and expected != expected
    )


def _check(found: Intervals, rows: Sequence[tuple[int, float, float]], end_ms: int) -> None:
    lasting = {second: place for place, (second, *_) in enumerate(rows)}
    for column in range(2):
        starts = [
            start
            for start in range(START_MS, end_ms, STEP_MS)
            if any(start <= START_MS + second * 1000 < start + STEP_MS for second in lasting)
        ]
        assert found.starts.tolist() == starts
        for place, start in enumerate(starts):
            inside = sorted(
                (START_MS + second * 1000, rows[place][1 + column])
                for second, place in lasting.items()
                if start <= START_MS + second * 1000 < start + STEP_MS
            )
            expected = oracle_interval([value for _, value in inside])
            got = [float(one[place, column]) for one in (found.counts, found.sum, found.min, found.max, found.last)]
            assert all(map(_same, got, expected)), f"{got} instead of {expected}"
            assert found.rows[place] == len(inside)
            assert found.last_at[place] == inside[-1][0]


@given(ROWS)
@settings(max_examples=150)
def test_intervals_equal_the_oracle(rows: list[tuple[int, float, float]]) -> None:
    """In any order, with duplicates, NaN, infinities and overflowing sums: each number bit by bit (−0 is 0)."""
    times, values = _arrays(rows)
    end_ms = START_MS + 7 * STEP_MS
    found = roll_up(times, values, np.array([False, False]), step_ms=STEP_MS, start_ms=START_MS, end_ms=end_ms)
    _check(found, rows, end_ms)
    assert np.isnan(found.growth).all()


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=80))
def test_a_sum_is_the_correctly_rounded_one(values: list[float]) -> None:
    """Within one unit in the last place of the exact sum, unless the sum cancels nearly everything."""
    times = START_MS + np.arange(len(values), dtype=np.int64) * 500
    found = roll_up(
        times,
        np.array(values)[:, None],
        np.array([False]),
        step_ms=STEP_MS,
        start_ms=START_MS,
        end_ms=START_MS + STEP_MS,
    )
    exact = math.fsum(values)
    assert abs(float(found.sum[0, 0]) - exact) <= max(math.ulp(exact), 1e-300 + 1e-25 * sum(map(abs, values)))


@given(ROWS.map(lambda rows: [(s, abs(a), abs(b)) for s, a, b in rows]))
@settings(max_examples=150)
def test_growth_equals_the_oracle(rows: list[tuple[int, float, float]]) -> None:
    """Counters with resets, in any order of arrival: pairs of neighbours in arrival, in the interval of the later."""
    rows = [(s, min(a, 1e9), min(b, 1e9)) for s, a, b in rows]
    times, values = _arrays(rows)
    end_ms = START_MS + 7 * STEP_MS
    found = roll_up(times, values, np.array([True, True]), step_ms=STEP_MS, start_ms=START_MS, end_ms=end_ms)
    lasting = {second: place for place, (second, *_) in enumerate(rows)}
    for column in range(2):
        visible = [
            (START_MS + second * 1000, rows[place][1 + column])
            for place, (second, *_) in enumerate(rows)
            if lasting[second] == place and math.isfinite(rows[place][1 + column])
        ]
        for place, start in enumerate(found.starts.tolist()):
            up, took = grown(list(itertools.pairwise(visible)), start)
            assert math.isclose(found.growth[place, column], up, rel_tol=1e-9, abs_tol=1e-6)
            assert found.elapsed[place, column] == took


@given(ROWS, st.integers(1, 6))
@settings(max_examples=100)
def test_parts_combine_to_the_whole(rows: list[tuple[int, float, float]], cut: int) -> None:
    """Minutes of two disjoint stretches of time, put together as one hour, are the hour."""
    times, values = _arrays(rows)
    flags = np.array([False, False])
    hour = 3_600_000
    whole = roll_up(times, values, flags, step_ms=STEP_MS, start_ms=START_MS, end_ms=START_MS + 7 * STEP_MS)
    middle = START_MS + cut * STEP_MS
    first = roll_up(times, values, flags, step_ms=STEP_MS, start_ms=START_MS, end_ms=middle)
    second = roll_up(times, values, flags, step_ms=STEP_MS, start_ms=middle, end_ms=START_MS + 7 * STEP_MS)
    assert_intervals(combine([second, first], STEP_MS), whole)
    coarse = combine([first, second], hour)
    assert len(coarse.starts) <= 1
    for place in range(len(coarse.starts)):
        assert coarse.rows[place] == whole.rows.sum()
        assert np.array_equal(coarse.counts[place], whole.counts.sum(axis=0))
        assert np.array_equal(coarse.min[place], np.fmin.reduce(whole.min), equal_nan=True)
        assert np.array_equal(coarse.max[place], np.fmax.reduce(whole.max), equal_nan=True)
