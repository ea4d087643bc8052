"""Promises of the packed parts of a recording."""

from __future__ import annotations

import time

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cybercorp.core.errors import MalformedMessageError
from cybercorp.protocol.events import Event, Severity
from cybercorp.protocol.recordings import MAX_BLOCK_BYTES
from cybercorp.server.services.recorded_blocks import (
    pack_items,
    pack_samples,
    rows_of_a_block,
    unpack_items,
    unpack_samples,
)

EVENTS = [Event(id=1, time_ms=2, kind="host.joined", severity=Severity.INFO, message="web-1 joined.")]


@given(
    st.integers(1, 40).flatmap(
        lambda rows: st.tuples(
            arrays.arrays(np.int64, rows),
            arrays.arrays(np.uint64, st.tuples(st.just(rows), st.integers(1, 9))),
        )
    )
)
def test_every_bit_comes_back(given_rows: tuple[np.ndarray, np.ndarray]) -> None:
    """Any timestamps and any bit patterns of float64, NaN payloads and −0.0 among them, come back exactly."""
    timestamps, bits = given_rows
    values = bits.view(np.float64)
    size, data = pack_samples(timestamps, values)
    again, found = unpack_samples(data, size, len(timestamps), values.shape[1])
    assert again.tobytes() == timestamps.tobytes()
    assert found.tobytes() == values.tobytes()


ODD = (-0.0, float("nan"), float("inf"), 5e-324, 1e300, 2.0**53, 2.0**53 + 2, 0.1 + 0.2)


@given(
    st.integers(0, 7),
    st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(0, 59), st.sampled_from(ODD)), max_size=2),
)
def test_decimals_come_back_bit_by_bit(decimals: int, whole: list[int], odd: list[tuple[int, float]]) -> None:
    """Numbers with decimals, and what only looks like them: a column among whose values one is odd is kept as it is."""
    column = np.array(whole, dtype=np.float64) / 10.0**decimals
    for place, value in odd:
        column[place % len(column)] = value
    values = np.column_stack([column, np.array(whole, dtype=np.float64), np.zeros(len(whole))])
    timestamps = np.arange(len(whole), dtype=np.int64) * 1000
    size, data = pack_samples(timestamps, values)
    again, found = unpack_samples(data, size, len(whole), 3)
    assert again.tobytes() == timestamps.tobytes()
    assert found.tobytes() == values.tobytes()


def test_a_way_of_packing_that_nobody_knows_is_refused() -> None:
    """A mode of a later format is not guessed at."""
    values = np.linspace(0, 1, 20).reshape(10, 2)
    size, data = pack_samples(np.arange(10), values)
    plain = bytearray(zstandard.decompress(data))
    for place, mode in ((0, 255), (1, 7), (2, 200)):
        bad = bytearray(plain)
        bad[place] = mode
        with pytest.raises(MalformedMessageError, match="unknown way"):
            unpack_samples(zstandard.compress(bytes(bad)), size, 10, 2)


def test_a_bomb_is_refused_before_it_unpacks() -> None:
    """A few kilobytes that would unpack to gigabytes cost neither memory nor time."""
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(256 * 1024**2))
    began = time.process_time()
    for size in (256 * 1024**2, MAX_BLOCK_BYTES, 100):
        with pytest.raises(MalformedMessageError):
            unpack_items(bomb, size, 1, Event)
        with pytest.raises(MalformedMessageError):
            unpack_samples(bomb, size, max(size // 16, 1), 1)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("data", [b"", b"\x28\xb5\x2f\xfd", b"rubbish" * 20, zstandard.compress(b"x" * 99)])
def test_what_was_never_packed_is_an_error_of_ours(data: bytes) -> None:
    """Bytes that are no packed block are refused by name."""
    with pytest.raises(MalformedMessageError) as told:
        unpack_items(data, 99, 1, Event)
    assert told.value.error_code == "damaged_recording"


def test_items_come_back_and_their_number_is_checked() -> None:
    """A list of events is the same list again; another number than promised is damage."""
    size, data = pack_items(EVENTS)
    assert unpack_items(data, size, 1, Event) == EVENTS
    with pytest.raises(MalformedMessageError, match="another number"):
        unpack_items(data, size, 2, Event)


def test_a_block_of_the_widest_catalogue_fits() -> None:
    """However many series a host has, a block of its rows stays within the bounds of a frame."""
    for series in (1, 124, 20_000):
        rows = rows_of_a_block(series)
        values = np.random.default_rng(1).integers(0, 1 << 62, (rows, series)).view(np.float64)
        size, data = pack_samples(np.arange(rows), values)
        assert len(data) <= size * 1.01 < MAX_BLOCK_BYTES
