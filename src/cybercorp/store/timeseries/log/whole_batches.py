"""The first format of a log entry, "CCL1": everything in its body, not compressed. Only read, never written."""

from __future__ import annotations

import struct
import zlib

import msgspec
import numpy as np

from cybercorp.store.timeseries.log.batches import Batch, DamagedBatchError

_HEADER = struct.Struct("<4sIIIQ")  # magic, CRC-32 of what follows it, rows, bytes of the stream names, entry number
_MAGIC = b"CCL1"
_NUMBERS = 6


def unpack_whole(number: int, data: bytes) -> Batch:
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
    bodies = [data[stop - length : stop] for length, stop in zip(lengths, ends, strict=True)]
    hosts, streams = [names[place][0] for place in places], [names[place][1] for place in places]
    return Batch(hosts, streams, seqs, times, received, catalogues, bodies)
