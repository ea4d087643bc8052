"""Aggregations against a reference in plain Python, and their corner cases one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.protocol.metrics import Aggregation
from cybercorp.store.timeseries.reading.aggregations import GROWTH, aggregate, aggregate_runs, reduce_edges
from tests.unit.store.building import Row, assert_same, reference

VALUES = st.one_of(
    st.floats(-1e9, 1e9), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0]), st.integers(0, 50).map(float)
)
ROWS = st.lists(st.tuples(st.integers(0, 400_000).map(lambda t: t // 250 * 250), VALUES, VALUES), max_size=60)


def _run(
    rows: Sequence[tuple[int, float]], aggregation: Aggregation, *, start: int, step: int, points: int
) -> list[float]:
    times = np.array([time for time, _ in rows], dtype=np.int64)
    values = np.array([[value] for _, value in rows]).reshape(len(rows), 1)
    found = aggregate(times, values, start_ms=start, step_ms=step, points=points, aggregation=aggregation)
    answer: list[float] = found[:, 0].tolist()
    return answer


@given(
    rows=ROWS,
    aggregation=st.sampled_from(list(Aggregation)),
    start=st.integers(-1000, 300_000),
    step=st.sampled_from([1, 250, 1000, 7_777, 60_000, 400_000]),
    points=st.integers(1, 40),
    quantile=st.floats(0, 1),
)
def test_every_aggregation_equals_the_reference(
    rows: list[tuple[int, float, float]], aggregation: Aggregation, start: int, step: int, points: int, quantile: float
) -> None:
    """Any rows in any order of arrival, with duplicates, NaN and infinities; two series at once."""
    times = np.array([time for time, _, _ in rows], dtype=np.int64)
    values = np.array([[a, b] for _, a, b in rows]).reshape(len(rows), 2)
    found = aggregate(
        times,
        values,
        start_ms=start,
        step_ms=step,
        points=points,
        aggregation=aggregation,
        quantile=quantile,
    )
    named: list[Row] = [(time, {"a": a, "b": b}) for time, a, b in rows]
    for place, key in enumerate("ab"):
        expected = reference(named, key, start, start + points * step, step, aggregation, quantile)
        assert_same(found[:, place].tolist(), expected)


class TestRate:
    def test_a_step_as_short_as_the_interval_works(self) -> None:
        """The sample before the step is where the growth starts, also before the first step."""
        rows = [(t * 1000, 10.0 * t) for t in range(10)]
        assert _run(rows, Aggregation.RATE, start=3000, step=1000, points=5) == [10.0] * 5

    def test_a_reset_is_repaired(self) -> None:
        """A counter that starts again counts from zero: 90 → 5 grew by 5 at least."""
        rows = [(0, 80.0), (1000, 90.0), (2000, 5.0), (3000, 15.0)]
        assert _run(rows, Aggregation.RATE, start=1, step=4000, points=1) == [(10 + 5 + 10) / 3]

    def test_the_time_covered_is_what_is_divided_by(self) -> None:
        """Samples that begin inside the step say nothing about its start."""
        rows = [(5000, 100.0), (7000, 300.0)]
        assert _run(rows, Aggregation.RATE, start=0, step=10_000, points=1) == [100.0]

    def test_one_sample_alone_tells_nothing(self) -> None:
        """There is no growth without a second sample."""
        assert math.isnan(_run([(5000, 100.0)], Aggregation.RATE, start=0, step=10_000, points=1)[0])

    def test_a_gap_is_not_bridged(self) -> None:
        """After more than five minutes of silence a short step does not get hours of growth."""
        rows = [(0, 0.0), (400_000, 4e6), (401_000, 4e6 + 7)]
        assert _run(rows, Aggregation.RATE, start=400_000, step=1000, points=2)[1] == 7.0
        assert math.isnan(_run(rows, Aggregation.RATE, start=400_000, step=1000, points=2)[0])

    def test_a_clock_that_was_set_back_makes_no_false_resets(self) -> None:
        """Two stretches of one counter over the same times: each grows by one a second, and so does the answer."""
        first = [(t * 1000, 1000.0 + t) for t in range(60)]
        second = [(30_500 + t * 1000, 1060.0 + t) for t in range(60)]
        found = _run(first + second, Aggregation.RATE, start=0, step=10_000, points=9)
        assert found == pytest.approx([1.0] * 9)

    def test_negative_values_are_no_counter(self) -> None:
        """What no counter can be is left out; its neighbours still count."""
        rows = [(0, 1.0), (1000, -7.0), (2000, 5.0)]
        assert _run(rows, Aggregation.RATE, start=0, step=3000, points=1) == [2.0]


class TestUnknownValues:
    @pytest.mark.parametrize("aggregation", list(Aggregation))
    def test_they_never_poison_their_neighbours(self, aggregation: Aggregation) -> None:
        """NaN and both infinities between good values change nothing."""
        good = [(0, 1.0), (3000, 4.0), (4000, 5.0)]
        mixed = [*good[:1], (1000, math.nan), (1500, math.inf), (2000, -math.inf), *good[1:]]
        expected = _run(good, aggregation, start=0, step=5000, points=1)
        assert _run(mixed, aggregation, start=0, step=5000, points=1) == expected

    @pytest.mark.parametrize("aggregation", list(Aggregation))
    def test_an_empty_step_is_unknown(self, aggregation: Aggregation) -> None:
        """Also the count: nothing was there to be counted."""
        assert all(math.isnan(one) for one in _run([], aggregation, start=0, step=1000, points=3))

    def test_a_sum_that_overflows_is_unknown(self) -> None:
        """Infinity is no answer."""
        assert math.isnan(_run([(0, 1e308), (1, 1e308)], Aggregation.SUM, start=0, step=10, points=1)[0])


def test_the_last_of_equal_timestamps_counts() -> None:
    """A row that arrives later replaces the one with the same timestamp."""
    rows = [(1000, 1.0), (2000, 2.0), (1000, 9.0)]
    assert _run(rows, Aggregation.SUM, start=0, step=5000, points=1) == [11.0]
    assert _run(rows, Aggregation.COUNT, start=0, step=5000, points=1) == [2.0]


@given(
    runs=st.lists(
        st.lists(st.tuples(st.integers(0, 9_999), st.floats(-1e6, 1e6)), max_size=60, unique_by=lambda row: row[0]),
        min_size=1,
        max_size=4,
    ),
    points=st.integers(1, 12),
    aggregation=st.sampled_from([one for one in Aggregation if one not in GROWTH]),
)
def test_looking_for_edges_gives_what_placing_rows_gives(
    runs: list[list[tuple[int, float]]], points: int, aggregation: Aggregation
) -> None:
    """The two ways to many series at once have the same answer, empty series and steps included."""
    step = -(-10_000 // points)
    sorted_runs = [sorted(run) for run in runs]
    times = [np.array([time for time, _ in run], dtype=np.int64) for run in sorted_runs]
    values = np.concatenate([np.array([value for _, value in run], dtype=np.float64) for run in sorted_runs])
    lengths = np.array([len(run) for run in runs])
    placed = aggregate_runs(
        np.concatenate(times), values, lengths, start_ms=0, step_ms=step, points=points, aggregation=aggregation
    )
    edges = np.arange(0, points * step + 1, step, dtype=np.int64)
    found = reduce_edges(values, times, edges, aggregation)
    assert np.array_equal(found, placed, equal_nan=True)
