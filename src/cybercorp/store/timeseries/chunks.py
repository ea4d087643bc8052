"""The format of a chunk: rows of one host and one catalogue, column by column, in order of arrival. Pure functions.

    header     magic, kind, host, catalogue, rows, number of slices, CRC-32 of header and directory
    directory  for each slice: where it ends, its CRC-32 (seeded with its number, so that a swapped one is noticed)
    slices     0 is the timestamps; then one for each series, or the lengths and the packed bodies of process tables

A reader of one series reads the header, the directory and two slices. Every slice is checked before it is decoded.
Values come back bit by bit as they were, NaN payloads and −0.0 included.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from pcodec import ChunkConfig, DeltaSpec, standalone

from cybercorp.store.timeseries.rows import Floats, Integers

SAMPLES, PROCESSES = 1, 2
PREFIX_BYTES = 36

_MAGIC = b"CCK1"
_HEADER = struct.Struct("<4sBxxxqqIII")
_CONSTANT, _RAW, _PCO = b"\x00", b"\x01", b"\x02"
_SMALL_ROWS = 256
# One look at 60 values: choosing the best of all modes costs twice the time of writing them.
_SMALL_COUNTER = ChunkConfig(compression_level=4, delta_spec=DeltaSpec.try_consecutive(1))
_SMALL_GAUGE = ChunkConfig(compression_level=4, delta_spec=DeltaSpec.no_op())
_LONG = ChunkConfig(compression_level=8)

_CRC_AT = PREFIX_BYTES - 4

Read = Callable[[int, int], bytes]
Owner = tuple[int, int]  # host and catalogue


class DamagedChunkError(Exception):
    """The bytes are not what was written; nothing of the slice may be used."""


def encode_samples(owner: Owner, timestamps: Integers, values: Floats, counters: Sequence[bool]) -> bytes:
    """A chunk of `values` [rows, series] at `timestamps` [rows]; `counters` [series] only guides the compression."""
    rows = len(timestamps)
    bits = values.view(np.uint64)
    constant = (bits == bits[0]).all(axis=0).tolist()
    columns = np.ascontiguousarray(values.T)
    slices = [_encode_integers(timestamps)]
    raw_bytes = rows * 8
    for number, is_constant in enumerate(constant):
        column = columns[number]
        if is_constant:
            slices.append(_CONSTANT + column[:1].tobytes())
            continue
        small = _SMALL_COUNTER if counters[number] else _SMALL_GAUGE
        packed = standalone.simple_compress(column, small if rows <= _SMALL_ROWS else _LONG)
        slices.append(_PCO + packed if len(packed) < raw_bytes else _RAW + column.tobytes())
    return pack_chunk(SAMPLES, owner, rows, slices)


def encode_processes(owner: Owner, timestamps: Integers, bodies: Sequence[bytes]) -> bytes:
    """A chunk of process tables, each as it came (MessagePack), compressed together."""
    lengths = np.array([len(body) for body in bodies], dtype=np.int64)
    packed = zlib.compress(b"".join(bodies), 6)
    return pack_chunk(
        PROCESSES, owner, len(timestamps), [_encode_integers(timestamps), _encode_integers(lengths), packed]
    )


def read_from(data: bytes) -> Read:
    """Slices of bytes that were read before."""
    return lambda offset, length: data[offset : offset + length]


class ChunkReader:
    """Reads slices of one chunk through `read(offset, length)`. Every method raises DamagedChunkError."""

    def __init__(self, read: Read, owner: Owner, slices: int) -> None:
        """What the index says: whose it is, and 1 + the series of the catalogue, or 3 for process tables."""
        self._read = read
        self._start = PREFIX_BYTES + 8 * slices
        prefix = read(0, self._start)
        if len(prefix) != self._start:
            raise DamagedChunkError("it is cut short")
        magic, self.kind, host, catalogue, self.rows, count, crc = _HEADER.unpack_from(prefix)
        if magic != _MAGIC or count != slices or crc != _crc(prefix[:_CRC_AT], prefix[PREFIX_BYTES:]):
            raise DamagedChunkError("its header does not match its checksum")
        if (host, catalogue) != owner:
            raise DamagedChunkError(f"it belongs to host {host} and catalogue {catalogue}")
        self._directory = np.frombuffer(prefix, dtype="<u4", offset=PREFIX_BYTES).reshape(slices, 2)

    def timestamps(self) -> Integers:
        return self._decode(0, np.dtype(np.int64))

    def column(self, number: int) -> Floats:
        """The values [rows] of series `number` of the catalogue."""
        return self._decode(number + 1, np.dtype(np.float64))

    def matrix(self, out: Floats, columns: Sequence[int]) -> None:
        """Decode `columns` into `out` [rows, len(columns)]."""
        for position, number in enumerate(columns):
            out[:, position] = self.column(number)

    def bodies(self) -> list[bytes]:
        """The process tables, as they came."""
        ends = np.cumsum(self._decode(1, np.dtype(np.int64))).tolist()
        data = zlib.decompress(self.slice_bytes(2))
        return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def check(self) -> None:
        """Verify every slice."""
        for number in range(len(self._directory)):
            self.slice_bytes(number)

    def slice_bytes(self, number: int) -> bytes:
        """The bytes of a slice, which match their checksum."""
        start = int(self._directory[number - 1, 0]) if number else 0
        end, crc = self._directory[number].tolist()
        data = self._read(self._start + start, end - start)
        if len(data) != end - start or zlib.crc32(data, number) != crc:
            raise DamagedChunkError(f"slice {number} does not match its checksum")
        return data

    def _decode(self, number: int, dtype: np.dtype[np.generic]) -> np.ndarray:
        data = self.slice_bytes(number)
        codec = data[:1]
        if codec == _PCO:
            decoded: np.ndarray = standalone.simple_decompress(data[1:])
            return decoded
        if codec == _CONSTANT:
            return np.repeat(np.frombuffer(data, dtype=dtype, offset=1), self.rows)
        return np.frombuffer(data, dtype=dtype, offset=1)


def _encode_integers(values: Integers) -> bytes:
    packed: bytes = standalone.simple_compress(values, _LONG)
    return _PCO + packed


def pack_chunk(kind: int, owner: Owner, rows: int, slices: Sequence[bytes]) -> bytes:
    """The container of every kind of chunk: header, directory, slices."""
    directory = np.empty((len(slices), 2), dtype="<u4")
    directory[:, 0] = np.cumsum([len(one) for one in slices])
    directory[:, 1] = [zlib.crc32(one, number) for number, one in enumerate(slices)]
    packed = directory.tobytes()
    head = _HEADER.pack(_MAGIC, kind, *owner, rows, len(slices), 0)[:_CRC_AT]
    return b"".join((head, struct.pack("<I", _crc(head, packed)), packed, *slices))


def _crc(head: bytes, directory: bytes) -> int:
    return zlib.crc32(directory, zlib.crc32(head))
