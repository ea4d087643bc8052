"""Queries while history grows: the answer is that of a plain list, however often it was asked for before."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cybercorp.protocol.metrics import Aggregation, MetricSelector
from cybercorp.store.timeseries.index import BUCKET_MS
from cybercorp.store.timeseries.reading.rollups import Tier
from tests.contract.test_timeseries import ACTIONS, TIMES, Opener, _Pair, opener
from tests.unit.store.building import EVERYTHING, START_MS, Row, ask, assert_same, reference

__all__ = ["opener"]


def _is_replaced(rows: Sequence[Row], key: str, start: int, end: int) -> bool:
    """Whether no value of the series in the range is the last of its timestamp."""
    count = reference(rows, key, start, end, end - start, Aggregation.COUNT, None)
    return math.isnan(count[0])


ONE = MetricSelector(name="disk")
QUESTIONS = st.lists(
    st.tuples(
        st.integers(-700, 260).map(lambda second: START_MS + second * 500),
        st.sampled_from([500, 1000, 10_000, 70_000, BUCKET_MS]),
        st.integers(1, 30),
        st.sampled_from(list(Aggregation)),
        st.sampled_from([EVERYTHING, ONE]),
    ),
    min_size=1,
    max_size=3,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(actions=ACTIONS, questions=QUESTIONS)
def test_asking_again_and_again_changes_no_answer(
    opener: Opener,
    actions: list[str | list[tuple[int, bool, float, float, float]]],
    questions: Sequence[tuple[int, int, int, Aggregation, MetricSelector]],
) -> None:
    """After every write, seal, merge and restart each question gets what a plain list would give."""
    with tempfile.TemporaryDirectory() as folder:
        pair = _Pair(opener, Path(folder))
        try:
            for action in actions:
                pair.act(action)
                for start, step, points, aggregation, selector in questions:
                    end = start + points * step
                    found = ask(pair.store, start, end, step, aggregation, selector=selector)
                    inside = {key for time, values in pair.rows if start <= time < end for key in values}
                    assert {key for key in inside if selector is EVERYTHING or key.startswith("disk")} <= set(found)
                    for key, values in found.items():
                        assert_same(values, reference(pair.rows, key, start, end, step, aggregation, None))
        finally:
            pair.store.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    actions=ACTIONS,
    tier=st.sampled_from([Tier.MINUTE, Tier.HOUR]),
    factor=st.integers(1, 3),
    points=st.integers(1, 12),
    early=st.integers(0, 3),
    aggregation=st.sampled_from([one for one in Aggregation if one is not Aggregation.QUANTILE]),
)
def test_every_tier_gives_the_same_answer(
    opener: Opener,
    actions: list[str | list[tuple[int, bool, float, float, float]]],
    tier: Tier,
    factor: int,
    points: int,
    early: int,
    aggregation: Aggregation,
) -> None:
    """A step of whole minutes or hours is the same from every sample and from the intervals that are kept of them."""
    step = tier.step_ms * factor
    start = (START_MS // step - early) * step
    end = start + points * step
    with tempfile.TemporaryDirectory() as folder:
        pair = _Pair(opener, Path(folder))
        try:
            for action in actions:
                pair.act(action)
                found = ask(pair.store, start, end, step, aggregation, tier=tier)
                inside = {
                    key
                    for time, values in pair.rows
                    if start <= time < end
                    for key, value in values.items()
                    if math.isfinite(value)
                }
                shown = {key for key in inside if not _is_replaced(pair.rows, key, start, end)}
                assert shown <= set(found)
                for key, values in found.items():
                    assert_same(values, reference(pair.rows, key, start, end, step, aggregation, None))
        finally:
            pair.store.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(actions=ACTIONS, instants=st.lists(TIMES, min_size=1, max_size=3), within=st.sampled_from([0, 500, 60_000]))
def test_many_hosts_at_an_instant_are_each_as_one(
    opener: Opener, actions: list[str | list[tuple[int, bool, float, float, float]]], instants: list[int], within: int
) -> None:
    """Row and row before of a batch are those of single questions; series that were not asked for are NaN."""
    with tempfile.TemporaryDirectory() as folder:
        pair = _Pair(opener, Path(folder))
        try:
            for action in actions:
                pair.act(action)
                for at in instants:
                    alone = pair.store.row_at(1, at, within)
                    before = pair.store.row_at(1, alone.timestamp_ms - 1, within) if alone else None
                    found = pair.store.rows_at([1, 2], at, within, [EVERYTHING])
                    assert found == ({1: (alone, before)} if alone else {})
                    one = pair.store.rows_at([1], at, within, [ONE])
                    assert one.keys() == found.keys()
                    if alone:
                        assert one[1].row[:2] == alone[:2]
        finally:
            pair.store.close()
