"""Rollup chunks: what comes out is what went in, whatever the numbers; and they are small."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cybercorp.store.timeseries.encoding.chunks import DamagedChunkError, read_from
from cybercorp.store.timeseries.encoding.rollup_chunks import RollupReader, encode_rollup
from cybercorp.store.timeseries.reading.intervals import Intervals, roll_up
from cybercorp.store.timeseries.rollup_index import MINUTES
from tests.unit.store.timeseries.tier_oracle import assert_intervals

STEP_MS = 60_000
START_MS = 1_800_000_000_000
OWNER = (7, 3)
VALUES = st.one_of(
    st.integers(0, 50).map(float),
    st.integers(-1000, 1000).map(lambda one: one / 10),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([math.nan, -0.0, 5e-324, 1.7e308, 2.0**53, 0.1]),
)


def _rolled(values: np.ndarray, seconds: np.ndarray) -> Intervals:
    times = START_MS + seconds.astype(np.int64) * 1000
    counters = np.array([bool(column % 2) for column in range(values.shape[1])])
    return roll_up(times, values, counters, step_ms=STEP_MS, start_ms=START_MS, end_ms=START_MS + 10_000 * STEP_MS)


def _read(body: bytes, width: int) -> Intervals:
    reader = RollupReader(read_from(body), MINUTES, OWNER, width, STEP_MS)
    return reader.read([(number, number) for number in range(width)], width)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 600), VALUES, VALUES, VALUES), min_size=1, max_size=50),
    st.booleans(),
)
def test_a_rollup_comes_back_as_it_was(rows: list[tuple[int, float, float, float]], ordered: bool) -> None:
    """Every number equal, NaN where it was: gauges and counters, with gaps, resets, overflow and subnormals."""
    rows = sorted(rows, key=lambda row: row[0]) if ordered else rows
    made = _rolled(np.array([row[1:] for row in rows]), np.array([row[0] for row in rows]))
    body = encode_rollup(MINUTES, OWNER, made, range(3), STEP_MS)
    assert_intervals(_read(body, 3), made)


@pytest.mark.parametrize("scale", [1, 10, 100, 2048, 3])
def test_walks_and_counters_come_back(scale: int) -> None:
    """Two hours of a wandering gauge, a growing counter and a constant, as whole numbers and as fractions."""
    chance = np.random.default_rng(scale)
    walk = np.cumsum(chance.integers(-5, 6, 7200)) / scale
    counter = np.cumsum(chance.integers(0, 900, 7200)) / scale
    counter[4000:] -= counter[4000]
    made = _rolled(np.column_stack([walk, counter, np.full(7200, 41 / scale)]), np.arange(7200))
    body = encode_rollup(MINUTES, OWNER, made, range(3), STEP_MS)
    assert_intervals(_read(body, 3), made)
    assert len(body) < 7200 * 3 * 8 / 25


def test_series_that_follow_from_another_come_back_from_a_few_bytes() -> None:
    """Used memory from free memory, pages from bytes; each is read alone, and with a gap and a reset of its own."""
    chance = np.random.default_rng(8)
    free = np.cumsum(chance.integers(-900, 901, 36_000)) * 4096.0 + 2**34
    sent = np.cumsum(chance.integers(0, 900, 36_000)) * 1024.0
    alone = _rolled(np.column_stack([free, sent]), np.arange(36_000))
    values = np.column_stack([free, sent, 2**35 - free, sent / 1024, free / 4096, sent])
    values[5000:5100, 2] = math.nan
    values[9000:, 5] -= sent[9000]
    made = _rolled(values, np.arange(36_000))
    body = encode_rollup(MINUTES, OWNER, made, range(6), STEP_MS)
    assert_intervals(_read(body, 6), made)
    for number in range(6):
        found = RollupReader(read_from(body), MINUTES, OWNER, 6, STEP_MS).read([(number, 0)], 1)
        assert found.last[:, 0].tolist() == pytest.approx(made.last[:, number].tolist(), abs=0, nan_ok=True)
    assert len(body) < 1.6 * len(encode_rollup(MINUTES, OWNER, alone, range(2), STEP_MS))


def test_a_series_without_a_value_costs_a_byte() -> None:
    """A series that another catalogue of the same minutes has: nothing but its place."""
    made = _rolled(np.ones((60, 1)), np.arange(60))
    body = encode_rollup(MINUTES, OWNER, made, [None, 0], STEP_MS)
    found = _read(body, 2)
    assert found.counts.tolist() == [[0.0, 60.0]]
    assert found.sum.tolist() == [[0.0, 60.0]]
    assert math.isnan(found.last[0, 0])


def test_every_flipped_bit_is_noticed() -> None:
    """In header, directory and slices alike: an error, never a number."""
    made = _rolled(np.column_stack([np.arange(600.0) % 7, np.arange(600.0)]), np.arange(600))
    body = encode_rollup(MINUTES, OWNER, made, range(2), STEP_MS)
    for place in range(len(body)):
        broken = bytearray(body)
        broken[place] ^= 1 << place % 8
        with pytest.raises(DamagedChunkError):
            _read(bytes(broken), 2)
    with pytest.raises(DamagedChunkError):
        RollupReader(read_from(body), MINUTES, (8, 3), 2, STEP_MS)
