"""Minutes and hours of a store against an oracle over all rows: whatever was sealed, rolled up, late or restarted."""

from __future__ import annotations

import contextlib
import itertools
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cybercorp.core.clock import ManualClock
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.reading.intervals import Intervals
from cybercorp.store.timeseries.reading.pictures import look
from cybercorp.store.timeseries.reading.rollups import Tier, read_tier, tier_catalogues
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.upkeep.rollup_making import _places
from tests.unit.store.building import CPU, DISK, FIRST, LOAD, SECOND, START_MS, Row, fill, open_store, sample
from tests.unit.store.timeseries.tier_oracle import grown, oracle_interval

KEYS = [CPU.key, DISK.key, LOAD.key]
HOUR_MS = 3_600_000
VALUES = st.one_of(
    st.integers(0, 40).map(float),
    st.integers(-100, 100).map(lambda one: one / 10),
    st.floats(-1e6, 1e6),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0]),
)
# Seconds of the first quarter of an hour, and now and then another hour of two days.
TIMES = st.one_of(st.integers(0, 900), st.integers(0, 48 * 4).map(lambda quarter: quarter * 900 + 7))
WRITES = st.lists(st.tuples(TIMES, st.booleans(), VALUES, VALUES, VALUES), min_size=1, max_size=20)
ACTIONS = st.lists(
    st.one_of(WRITES, st.sampled_from(["seal", "half an hour", "five hours", "a day", "a month", "restart"])),
    min_size=1,
    max_size=10,
)
WAITS = {"half an hour": 1900, "five hours": 5 * 3600, "a day": 25 * 3600, "a month": 57 * 86_400}


class Pair:
    """A store and the plain list of what was written to it; the clock is that of the rows' arrival too."""

    def __init__(
        self,
        folder: Path,
        settings: TimeSeriesSettings | None = None,
        opener: Callable[[Path, ManualClock], TimeSeries] | None = None,
    ) -> None:
        self._open = opener or (lambda folder, clock: open_store(folder, clock, settings))
        self._folder = folder
        self.clock = ManualClock(START_MS)
        self.store = self._open(folder, self.clock)
        self.rows: list[Row] = []
        self._seq = 0

    def act(self, action: str | Sequence[tuple[int, bool, float, float, float]]) -> None:
        if not isinstance(action, str):
            self._write(action)
        elif action == "restart":
            self.store.close()
            self.store = self._open(self._folder, self.clock)
        else:
            self.clock.advance(WAITS.get(action, 0))
            self.store.seal(everything=True)
            while self.store.seal().pending:
                pass

    def _write(self, rows: Sequence[tuple[int, bool, float, float, float]]) -> None:
        made = []
        for second, with_load, a, b, c in rows:
            self._seq += 1
            time = START_MS + second * 1000
            catalogue, values = (SECOND, (a, b, c)) if with_load else (FIRST, (a, b))
            made.append(sample(self._seq, time, *values, catalogue=catalogue)._replace(received_ms=self.clock.now_ms()))
            self.rows.append((time, dict(zip([one.key for one in catalogue.series], values, strict=True))))
        self.store.register_catalogue(1, FIRST)
        self.store.register_catalogue(1, SECOND)
        self.store.write(made)


def read(store: TimeSeries, tier: Tier, start_ms: int, end_ms: int, keys: Sequence[str] = KEYS) -> Intervals:
    """What the store says of host 1."""
    session = store._session
    return look(
        session,
        lambda state: read_tier(session, state, 1, tier, lambda number: _places(state, number), keys, start_ms, end_ms),
    )


def visible(rows: Sequence[Row], key: str) -> list[tuple[int, float]]:
    """The rows that count, in order of arrival; NaN where the series is absent."""
    lasting = {time: place for place, (time, _) in enumerate(rows)}
    return [(time, values.get(key, math.nan)) for place, (time, values) in enumerate(rows) if lasting[time] == place]


def assert_exact(found: Intervals, rows: Sequence[Row], tier: Tier, start_ms: int, end_ms: int) -> None:
    """Every interval is there, and nothing else; all numbers are those of the rows."""
    step = tier.step_ms
    times = {time // step * step for time, _ in rows if start_ms <= time < end_ms}
    assert found.starts.tolist() == sorted(times)
    for column, key in enumerate(KEYS):
        ordered = sorted(visible(rows, key), key=lambda one: one[0])
        for place, start in enumerate(found.starts.tolist()):
            inside = [value for time, value in ordered if start <= time < start + step]
            count, total, low, high, last = oracle_interval(inside)
            where = f"{key} at {(start - START_MS) / 60_000} min"
            got = [float(one[place, column]) for one in (found.counts, found.min, found.max, found.last)]
            assert np.array_equal(got, [count, low, high, last], equal_nan=True), where
            exact = tier is Tier.MINUTE
            assert (
                found.sum[place, column] == total
                if exact
                else math.isclose(found.sum[place, column], total, rel_tol=1e-14, abs_tol=1e-9)
            ), where


_ASKED = (ACTIONS, st.integers(-1, 40), st.integers(1, 60), st.sampled_from([Tier.MINUTE, Tier.HOUR]))


@settings(max_examples=40, deadline=None)
@given(*_ASKED)
def test_tiers_equal_the_oracle(
    actions: list[str | list[tuple[int, bool, float, float, float]]], start: int, hours: int, tier: Tier
) -> None:
    """NaN, infinities, other catalogues, duplicates, late rows, clocks set back: equal to what the rows give."""
    _compare(actions, start, hours, tier)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(*_ASKED)
def test_tiers_equal_the_oracle_at_length(
    actions: list[str | list[tuple[int, bool, float, float, float]]], start: int, hours: int, tier: Tier
) -> None:
    """The same, more often."""
    _compare(actions, start, hours, tier)


def _compare(
    actions: list[str | list[tuple[int, bool, float, float, float]]], start: int, hours: int, tier: Tier
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(Path(folder))
        try:
            for action in actions:
                pair.act(action)
            low = START_MS + start * HOUR_MS
            high = low + hours * HOUR_MS
            found = read(pair.store, tier, low, high)
            assert_exact(found, pair.rows, tier, low, high)
            assert pair.store.check() == []
        finally:
            pair.store.close()


def test_an_hour_across_two_days_is_counted_once(tmp_path: Path) -> None:
    """A day of a host begins within an hour; late rows make the day after it anew from weeks that were joined."""
    pair = Pair(tmp_path)
    for second, waits in ((140_407, ("a month", "seal")), (155_707, ("half an hour",))):
        pair.act([(0, False, 0.0, 0.0, 0.0), (second, False, 0.0, 0.0, 0.0)])
        for one in waits:
            pair.act(one)
    end = START_MS + 40 * HOUR_MS
    assert_exact(read(pair.store, Tier.HOUR, START_MS, end), pair.rows, Tier.HOUR, START_MS, end)
    pair.store.close()


@pytest.mark.parametrize("tier", [Tier.MINUTE, Tier.HOUR])
def test_rollups_stay_exact_while_history_grows_old(tmp_path: Path, tier: Tier) -> None:
    """Two days of rows: the same intervals before anything is sealed, after each settling, and after a restart."""
    pair = Pair(tmp_path)
    chance = np.random.default_rng(5)
    end = START_MS + 48 * HOUR_MS
    for quarter in range(48 * 4):
        step = [
            (
                quarter * 900 + second,
                quarter % 40 > 35,
                float(chance.integers(0, 99)) / 10,
                quarter * 900.0 + second,
                1.0,
            )
            for second in range(0, 900, 225)
        ]
        pair.act(step)
        pair.clock.advance(900)
        if quarter % 4 == 0:
            pair.act("seal")
    assert_exact(read(pair.store, tier, START_MS, end), pair.rows, tier, START_MS, end)
    for action in ("five hours", "a day", "restart", "a day"):
        pair.act(action)
        assert_exact(read(pair.store, tier, START_MS, end), pair.rows, tier, START_MS, end)
    host = pair.store._session.state.hosts[1]
    assert len(list(host.minutes)) <= 2 * 3
    assert len(list(host.hours)) <= 2 * 3
    late = [(3 * 3600 + second, False, 5.0, 6.0, 7.0) for second in range(3)]
    pair.act(late)
    assert_exact(read(pair.store, tier, START_MS, end), pair.rows, tier, START_MS, end)
    for action in ("five hours", "a month", "restart"):
        pair.act(action)
        assert_exact(read(pair.store, tier, START_MS, end), pair.rows, tier, START_MS, end)
    assert len(list(host.hours)) <= 4
    pair.store.close()


def test_growth_is_the_same_from_rows_and_from_rollups(tmp_path: Path) -> None:
    """A counter with resets and gaps, in order: growth and time covered do not change when the rows are rolled up."""
    pair = Pair(tmp_path)
    chance = np.random.default_rng(6)
    value = 0.0
    rows = []
    for second in range(0, 30 * 3600, 60):
        value = 0.0 if chance.random() < 0.003 else value + float(chance.integers(0, 5000))
        if second % 7200 < 6000 or second % 14_400 > 13_000:
            rows.append((second, False, 1.0, value, 0.0))
    for at in range(0, len(rows), 60):
        pair.act(rows[at : at + 60])
        pair.clock.advance(3600)
        pair.act("seal")
    end = START_MS + 30 * HOUR_MS
    seen = visible(pair.rows, DISK.key)
    pairs = list(itertools.pairwise(seen))
    for action in ("seal", "five hours", "a day", "a month"):
        pair.act(action)
        for tier in (Tier.MINUTE, Tier.HOUR):
            found = read(pair.store, tier, START_MS, end, [DISK.key])
            for place, start in enumerate(found.starts.tolist()):
                near = [one for one in pairs if start <= one[1][0] < start + tier.step_ms]
                up, took = grown(near, start, tier.step_ms)
                assert math.isclose(found.growth[place, 0], up, rel_tol=1e-12, abs_tol=1e-6)
                assert found.elapsed[place, 0] == took
    assert list(pair.store._session.state.hosts[1].minutes)
    pair.store.close()


def test_catalogues_of_a_tier_are_named_without_rows(tmp_path: Path) -> None:
    """Series of a range are known from rollups too."""
    clock = ManualClock(START_MS)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        fill(store, 600)
        clock.advance(6 * 3600)
        store.seal(everything=True)
        store.seal()
        state = store._session.state
        with state.lock:
            numbers = [entry.catalogue for entry in state.hosts[1].minutes]
        assert numbers
        assert tier_catalogues(state, 1, Tier.MINUTE, START_MS, START_MS + HOUR_MS) == numbers
        assert tier_catalogues(state, 1, Tier.RAW, START_MS, START_MS + HOUR_MS) == numbers
        assert tier_catalogues(state, 1, Tier.MINUTE, START_MS + 9 * HOUR_MS, START_MS + 10 * HOUR_MS) == []
