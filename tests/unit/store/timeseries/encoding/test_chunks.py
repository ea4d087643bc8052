"""The chunk format: exact, and never silently wrong."""

from __future__ import annotations

import random
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cybercorp.store.timeseries.encoding.chunks import (
    PREFIX_BYTES,
    ChunkReader,
    DamagedChunkError,
    encode_processes,
    encode_samples,
    pack_chunk,
    read_from,
)

BITS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from([0, 1 << 63, 0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000001, 0xFFF4DEADBEEF0001]),
    st.floats(-1e6, 1e6).map(lambda value: int(np.float64(round(value, 2)).view(np.uint64))),
)


OWNER = (1, 2)
CHUNKS = Path(__file__).resolve().parents[4] / "fixtures" / "chunks"


def _chunk(rows: int, columns: int, *, lasting: bool = True) -> tuple[np.ndarray, np.ndarray, bytes]:
    times = np.arange(rows, dtype=np.int64) * 1000 + 1_800_000_000_000
    values = np.random.default_rng(7).normal(size=(rows, columns)).round(3)
    values[:, 0] = 5.0
    return times, values, encode_samples(OWNER, times, values, lasting=lasting)


class TestSamples:
    @given(
        bits=arrays.arrays(np.uint64, st.tuples(st.integers(1, 120), st.integers(1, 4)), elements=BITS),
        lasting=st.booleans(),
        times=st.data(),
    )
    def test_values_come_back_bit_by_bit(self, bits: np.ndarray, lasting: bool, times: st.DataObject) -> None:
        """NaN payloads, −0.0, infinities and every other pattern survive, as do any timestamps in any order."""
        rows, columns = bits.shape
        stamps = np.array(
            times.draw(st.lists(st.integers(0, 253_402_300_799_999), min_size=rows, max_size=rows)), dtype=np.int64
        )
        values = bits.view(np.float64)
        data = encode_samples(OWNER, stamps, values, lasting=lasting)
        reader = ChunkReader(read_from(data), OWNER, columns + 1)
        assert reader.timestamps().tolist() == stamps.tolist()
        for column in range(columns):
            assert reader.column(column).view(np.uint64).tolist() == bits[:, column].tolist()
        matrix = np.empty((rows, columns))
        reader.matrix(matrix, range(columns))
        assert matrix.view(np.uint64).tolist() == bits.tolist()

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
        """A column of one value takes a byte and a bit, however many rows there are."""
        times = np.arange(1800, dtype=np.int64)
        plain = encode_samples(OWNER, times, np.ones((1800, 1)))
        wide = encode_samples(OWNER, times, np.ones((1800, 101)))
        assert len(wide) - len(plain) == 100 + 12

    def test_a_column_that_follows_from_another_takes_a_few_bytes(self) -> None:
        """Used memory follows from free memory, pages from bytes, and what a loop receives from what it sent."""
        chance = np.random.default_rng(5)
        times = np.arange(1800, dtype=np.int64) * 1000
        free = chance.integers(0, 1 << 20, 1800).astype(np.float64) * 4096
        one = encode_samples(OWNER, times, free[:, None])
        values = np.stack([free, 25_276_063_744 - free, free / 4096, free], axis=1)
        four = encode_samples(OWNER, times, values)
        assert len(four) - len(one) < 120
        reader = ChunkReader(read_from(four), OWNER, 5)
        for column in range(4):
            assert reader.column(column).tolist() == values[:, column].tolist()

    def test_a_minute_of_a_host_is_packed_as_one_piece(self) -> None:
        """Rows that are merged soon take one slice, and each column is told apart in it."""
        times, values, data = _chunk(60, 50, lasting=False)
        reader = ChunkReader(read_from(data), OWNER, 51)
        few, all_of_them = np.empty((60, 2)), np.empty((60, 50))
        reader.matrix(few, [41, 0])
        reader.matrix(all_of_them, range(50))
        assert few.tolist() == values[:, [41, 0]].tolist()
        assert all_of_them.tolist() == values.tolist()
        assert reader.timestamps().tolist() == times.tolist()
        assert len(data) < values.nbytes / 2


class TestFirstFormat:
    def test_samples_of_the_first_version_are_read(self) -> None:
        """A chunk written by version 1 of the format comes back bit by bit."""
        rows = np.arange(300)
        payload = np.array([0x7FF8_0000_0000_BEEF], dtype=np.uint64).view(np.float64)
        columns = [
            np.full(300, 5.0),
            rows * 4096.0,
            rows * 7919 % 1000 / 10,
            np.where(rows % 50 == 3, np.nan, np.sqrt(rows)),
            np.where(rows % 2, 0.0, -0.0),
        ]
        columns[2][7] = payload[0]
        reader = ChunkReader(read_from((CHUNKS / "samples-cck1.bin").read_bytes()), (3, 4), 6)
        reader.check()
        assert (reader.kind, reader.rows) == (1, 300)
        assert reader.timestamps().tolist() == (1_800_000_000_000 + rows * 1000).tolist()
        for number, column in enumerate(columns):
            assert reader.column(number).view(np.uint64).tolist() == column.view(np.uint64).tolist()

    def test_processes_of_the_first_version_are_read(self) -> None:
        """Its process tables too."""
        reader = ChunkReader(read_from((CHUNKS / "processes-cck1.bin").read_bytes()), (3, 0), 3)
        assert reader.bodies() == [b"one", b"", b"three" * 20, bytes(range(256))]

    def test_damage_in_the_first_version_is_noticed(self) -> None:
        """A flipped bit in its header, its directory or a slice."""
        data = (CHUNKS / "samples-cck1.bin").read_bytes()
        for at in (0, 5, 9, 30, 40, 80, len(data) - 1):
            broken = bytearray(data)
            broken[at] ^= 4
            with pytest.raises(DamagedChunkError):
                ChunkReader(read_from(bytes(broken)), (3, 4), 6).check()


class TestDamage:
    @pytest.mark.parametrize("lasting", [False, True])
    def test_every_flipped_bit_is_noticed(self, lasting: bool) -> None:
        """Of 1,000 single flipped bits none leads to a wrong value: each read fails or is right."""
        times, values, data = _chunk(60, 8, lasting=lasting)
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

    @pytest.mark.parametrize("lasting", [False, True])
    def test_every_single_bit_is_checked(self, lasting: bool) -> None:
        """Whichever bit of a chunk is flipped, its check fails."""
        _, _, data = _chunk(60, 8, lasting=lasting)
        broken = bytearray(data)
        for bit in range(8 * len(data)):
            broken[bit // 8] ^= 1 << bit % 8
            with pytest.raises(DamagedChunkError):
                ChunkReader(read_from(bytes(broken)), OWNER, 9).check()
            broken[bit // 8] ^= 1 << bit % 8

    @pytest.mark.parametrize("lasting", [False, True])
    def test_every_truncation_is_noticed(self, lasting: bool) -> None:
        """A chunk that is cut anywhere fails its check."""
        _, _, data = _chunk(60, 8, lasting=lasting)
        for length in range(len(data)):
            with pytest.raises(DamagedChunkError):
                ChunkReader(read_from(data[:length]), OWNER, 9).check()

    def test_slices_in_each_others_place_are_noticed(self) -> None:
        """The checksum of a slice is seeded with its number, so that even whole slices cannot change places."""
        data = pack_chunk(9, OWNER, 1, [b"one!", b"two!"])
        head, directory = data[: PREFIX_BYTES - 4], data[PREFIX_BYTES : PREFIX_BYTES + 12]
        swapped = directory[6:] + directory[:6]
        crc = zlib.crc32(swapped, zlib.crc32(head)).to_bytes(4, "little")
        forged = ChunkReader(read_from(head + crc + swapped + b"two!one!"), OWNER, 2)
        for number in (0, 1):
            with pytest.raises(DamagedChunkError):
                forged.slice_bytes(number)
        whole = ChunkReader(read_from(data), OWNER, 2)
        assert [whole.slice_bytes(number) for number in (0, 1)] == [b"one!", b"two!"]

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
