"""What every time-series store promises, whatever database is below it: one suite for all of them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cybercorp.core.clock import ManualClock
from cybercorp.protocol.metrics import Aggregation
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.index import BUCKET_MS
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from tests.contract.opening import open_postgres
from tests.unit.store.building import FIRST, SECOND, START_MS, Row, ask, assert_same, reference, sample

Opener = Callable[[Path, ManualClock], TimeSeries]


def _sqlite(folder: Path, clock: ManualClock) -> TimeSeries:
    return TimeSeries.open(folder / "samples.db", TimeSeriesSettings(), clock)


def _postgres(url: str) -> Opener:
    """Each folder has a schema of its own in the database: made in 15 ms, found again after a restart."""
    return lambda folder, clock: open_postgres(url, folder, clock)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def opener(request: pytest.FixtureRequest) -> Opener:
    return _sqlite if request.param == "sqlite" else _postgres(request.getfixturevalue("database_url"))


VALUES = st.one_of(st.floats(-1e6, 1e6), st.integers(0, 1000).map(float), st.sampled_from([math.nan, math.inf, -0.0]))
# Seconds around the boundary of two half hours, so that blocks are cut; hours for late data.
TIMES = st.one_of(
    st.integers(0, 240).map(lambda second: START_MS + second * 500),
    st.integers(0, 6).map(lambda h: START_MS + h * BUCKET_MS),
)
WRITES = st.lists(st.tuples(TIMES, st.booleans(), VALUES, VALUES, VALUES), min_size=1, max_size=25)
ACTIONS = st.lists(
    st.one_of(
        WRITES, st.sampled_from(["seal", "seal and merge", "restart"]), st.integers(1, 3600).map(lambda s: f"wait {s}")
    ),
    min_size=1,
    max_size=12,
)


class _Pair:
    """A store and the plain list of all that was written to it."""

    def __init__(self, opener: Opener, folder: Path) -> None:
        self._opener, self._folder = opener, folder
        self.clock = ManualClock(START_MS)
        self.store = opener(folder, self.clock)
        self.rows: list[Row] = []
        self._seq = 0

    def act(self, action: str | Sequence[tuple[int, bool, float, float, float]]) -> None:
        if not isinstance(action, str):
            self._write(action)
        elif action == "seal":
            self.store.seal(everything=True)
        elif action == "seal and merge":
            self.clock.advance(2 * BUCKET_MS / 1000)
            self.store.seal(everything=True)
        elif action == "restart":
            self.store.close()
            self.store = self._opener(self._folder, self.clock)
        else:
            self.clock.advance(float(action.split()[1]))
            self.store.seal()

    def _write(self, rows: Sequence[tuple[int, bool, float, float, float]]) -> None:
        made: list[StoredRow] = []
        for time, second, a, b, c in rows:
            self._seq += 1
            catalogue, values = (SECOND, (a, b, c)) if second else (FIRST, (a, b))
            made.append(sample(self._seq, time, *values, catalogue=catalogue))
            keys = [one.key for one in catalogue.series]
            self.rows.append((time, dict(zip(keys, values, strict=True))))
        self.store.register_catalogue(1, FIRST)
        self.store.register_catalogue(1, SECOND)
        self.store.write(made)
        self.store.write(made)  # an answer that was lost: the agent sends again


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    actions=ACTIONS,
    aggregation=st.sampled_from(list(Aggregation)),
    start=st.integers(-10, 260).map(lambda second: START_MS + second * 500),
    step=st.sampled_from([500, 1000, 10_000, 70_000, BUCKET_MS]),
    points=st.integers(1, 30),
    quantile=st.floats(0, 1),
)
def test_every_query_equals_the_reference(
    opener: Opener,
    actions: list[str | list[tuple[int, bool, float, float, float]]],
    aggregation: Aggregation,
    start: int,
    step: int,
    points: int,
    quantile: float,
) -> None:
    """Written in any order, sealed, merged and restarted in between: the answer is that of a plain list."""
    with tempfile.TemporaryDirectory() as folder:
        pair = _Pair(opener, Path(folder))
        try:
            for action in actions:
                pair.act(action)
            end = start + points * step
            found = ask(pair.store, start, end, step, aggregation, quantile=quantile)
            inside = {key for time, values in pair.rows if start <= time < end for key in values}
            assert inside <= set(found)
            for key, values in found.items():
                assert_same(values, reference(pair.rows, key, start, end, step, aggregation, quantile))
            assert pair.store.acked_seq(1, "s") == len(pair.rows)
            assert pair.store.check() == []
            if pair.rows:
                times = [time for time, _ in pair.rows]
                assert pair.store.bounds() == (min(times), max(times))
                latest = pair.store.latest(1)
                assert latest is not None
                assert latest.timestamp_ms == times[-1]
        finally:
            pair.store.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(actions=ACTIONS, at=TIMES, within=st.sampled_from([0, 500, 60_000, 4 * BUCKET_MS]))
def test_a_row_at_an_instant_is_the_newest_before_it(
    opener: Opener, actions: list[str | list[tuple[int, bool, float, float, float]]], at: int, within: int
) -> None:
    """Exactly as it was sent, NaN and −0.0 included; of equal timestamps the one that arrived last."""
    with tempfile.TemporaryDirectory() as folder:
        pair = _Pair(opener, Path(folder))
        try:
            for action in actions:
                pair.act(action)
            inside = [(time, place) for place, (time, _) in enumerate(pair.rows) if at - within <= time <= at]
            found = pair.store.row_at(1, at, within)
            assert (found is None) == (not inside)
            if found:
                time, place = max(inside)
                values = list(pair.rows[place][1].values())
                catalogue = FIRST if len(values) == 2 else SECOND
                expected = sample(1, time, *values, catalogue=catalogue)
                assert (found.timestamp_ms, found.catalogue, found.body) == (time, catalogue.id, expected.body)
        finally:
            pair.store.close()
