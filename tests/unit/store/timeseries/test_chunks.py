"""The chunk format: exact, and never silently wrong."""

from __future__ import annotations

import random
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cybercorp.store.timeseries.chunks import (
    ChunkReader,
    DamagedChunkError,
    encode_processes,
    encode_samples,
    read_from,
)

BITS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1 << 63, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000001, 0xFFF4DEADBEEF0001]),
    st.floats(-1e6, 1e6).map(lambda value: int(np.float64(round(value, 2)).view(np.uint64))),
)


OWNER = (1, 2)


def _chunk(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, bytes]:
    times = np.arange(rows, dtype=np.int64) * 1000 + 1_800_000_000_000
    values = np.random.default_rng(7).normal(size=(rows, columns)).round(3)
    values[:, 0] = 5.0
    return times, values, encode_samples(OWNER, times, values, [False] * columns)


class TestSamples:
    @given(
        bits=arrays.arrays(np.uint64, st.tuples(st.integers(1, 300), st.integers(1, 4)), elements=BITS),
        counter=st.booleans(),
        times=st.data(),
    )
    def test_values_come_back_bit_by_bit(self, bits: np.ndarray, counter: bool, times: st.DataObject) -> None:
        """NaN payloads, −0.0, infinities and every other pattern survive, as do any timestamps in any order."""
        rows, columns = bits.shape
        stamps = np.array(
            times.draw(st.lists(st.integers(0, 253_402_300_799_999), min_size=rows, max_size=rows)), dtype=np.int64
        )
        values = bits.view(np.float64)
        reader = ChunkReader(read_from(encode_samples(OWNER, stamps, values, [counter] * columns)), OWNER, columns + 1)
        assert reader.timestamps().tolist() == stamps.tolist()
        for column in range(columns):
            assert reader.column(column).view(np.uint64).tolist() == bits[:, column].tolist()

    def test_one_series_is_read_without_the_others(self) -> None:
        """A reader of one column touches header, directory, timestamps and that column only."""
        _, values, data = _chunk(1800, 100)
        touched = 0

        def read(offset: int, length: int) -> bytes:
            nonlocal touched
            touched += length
            return data[offset : offset + length]

        reader = ChunkReader(read, OWNER, 101)
        reader.timestamps()
        assert reader.column(50).tolist() == values[:, 50].tolist()
        assert touched < len(data) / 25

    def test_constants_cost_nothing(self) -> None:
        """A column of one value takes nine bytes, however many rows there are."""
        times = np.arange(1800, dtype=np.int64)
        plain = encode_samples(OWNER, times, np.ones((1800, 1)), [False])
        wide = encode_samples(OWNER, times, np.ones((1800, 101)), [False] * 101)
        assert len(wide) - len(plain) == 100 * (9 + 8)


class TestDamage:
    def test_every_flipped_bit_is_noticed(self) -> None:
        """Of 1,000 single flipped bits none leads to a wrong value: each read fails or is right."""
        times, values, data = _chunk(60, 8)
        chance = random.Random(4)
        for _ in range(1000):
            broken = bytearray(data)
            broken[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            noticed = False
            try:
                reader = ChunkReader(read_from(bytes(broken)), OWNER, 9)
                assert reader.timestamps().tolist() == times.tolist()
            except DamagedChunkError:
                continue
            for column in range(8):
                try:
                    assert reader.column(column).tolist() == values[:, column].tolist()
                except DamagedChunkError:
                    noticed = True
            assert noticed

    def test_every_truncation_is_noticed(self) -> None:
        """A chunk that is cut anywhere fails its check."""
        _, _, data = _chunk(60, 8)
        for length in range(0, len(data), 7):
            with pytest.raises(DamagedChunkError):
                ChunkReader(read_from(data[:length]), OWNER, 9).check()

    def test_slices_in_each_others_place_are_noticed(self) -> None:
        """The checksum of a slice is seeded with its number, so that even whole slices cannot change places."""
        times = np.arange(60, dtype=np.int64)
        data = encode_samples(OWNER, times, np.repeat([[1.0, 2.0]], 60, axis=0), [False, False])
        directory, slices = data[36:60], data[-18:]
        ends, checksums = directory[8:12] + directory[16:20], directory[12:16] + directory[20:24]
        swapped = ends[:4] + checksums[4:] + ends[4:] + checksums[:4]
        head = data[:32] + zlib.crc32(directory[:8] + swapped, zlib.crc32(data[:32])).to_bytes(4, "little")
        forged = head + directory[:8] + swapped + data[60:-18] + slices[9:] + slices[:9]
        reader = ChunkReader(read_from(forged), OWNER, 3)
        with pytest.raises(DamagedChunkError):
            reader.column(0)

    def test_a_chunk_of_somebody_else_is_refused(self) -> None:
        """A chunk does not fit another host, another catalogue, or one of another length."""
        _, _, data = _chunk(60, 2)
        for owner, slices in ((OWNER, 4), ((2, 2), 3), ((1, 1), 3)):
            with pytest.raises(DamagedChunkError):
                ChunkReader(read_from(data), owner, slices)


class TestProcesses:
    @given(st.lists(st.binary(max_size=500), min_size=1, max_size=50))
    def test_tables_come_back_as_they_came(self, bodies: list[bytes]) -> None:
        """Bodies of any length, empty ones too."""
        times = np.arange(len(bodies), dtype=np.int64)
        reader = ChunkReader(read_from(encode_processes(OWNER, times, bodies)), OWNER, 3)
        assert reader.bodies() == bodies
        assert reader.timestamps().tolist() == times.tolist()
