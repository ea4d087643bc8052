"""The format of a log entry: all rows of one commit, packed column by column, with a checksum. Pure functions.

One entry a commit instead of one table row a sample row: 1,000 rows cost one insert.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

_HEADER = struct.Struct("<4sIIIQ")  # magic, CRC-32 of what follows it, rows, bytes of the stream names, entry number
_MAGIC = b"CCL1"
_NUMBERS = 6


class DamagedBatchError(Exception):
    """The bytes are not what was written."""


class LogRow(NamedTuple):
    """A row in the log. `catalogue` is the store's number of it, 0 for a process table, −1 for a mere sequence."""

    host: int
    stream: str
    seq: int
    timestamp_ms: int
    received_ms: int
    catalogue: int
    body: bytes


def pack_batch(number: int, rows: Sequence[LogRow]) -> bytes:
    """The bytes of log entry `number`."""
    names: dict[tuple[int, str], int] = {}
    places = [names.setdefault((row.host, row.stream), len(names)) for row in rows]
    _, _, seqs, times, received, catalogues, bodies = zip(*rows, strict=True)
    numbers = np.array([places, seqs, times, received, catalogues, [len(body) for body in bodies]], dtype="<i8")
    streams = msgspec.msgpack.encode(list(names))
    payload = b"".join((struct.pack("<IIQ", len(rows), len(streams), number), streams, numbers.tobytes(), *bodies))
    return b"".join((_MAGIC, struct.pack("<I", zlib.crc32(payload)), payload))


def unpack_batch(number: int, data: bytes) -> list[LogRow]:
    """The rows of log entry `number`. Raises DamagedBatchError."""
    if len(data) < _HEADER.size:
        raise DamagedBatchError("it is cut short")
    magic, crc, rows, names_bytes, own_number = _HEADER.unpack_from(data)
    if magic != _MAGIC or own_number != number or zlib.crc32(memoryview(data)[8:]) != crc:
        raise DamagedBatchError("it does not match its checksum")
    start = _HEADER.size + names_bytes
    names = msgspec.msgpack.decode(data[_HEADER.size : start], type=list[tuple[int, str]])
    end = start + rows * 8 * _NUMBERS
    numbers = np.frombuffer(data[start:end], dtype="<i8").reshape(_NUMBERS, rows)
    ends = (np.cumsum(numbers[5]) + end).tolist()
    places, seqs, times, received, catalogues, lengths = numbers.tolist()
    return [
        LogRow(names[place][0], names[place][1], seq, time, arrived, catalogue, data[stop - length : stop])
        for place, seq, time, arrived, catalogue, length, stop in zip(
            places, seqs, times, received, catalogues, lengths, ends, strict=True
        )
    ]
