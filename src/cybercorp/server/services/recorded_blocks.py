"""The large parts of a recording: packed small, and unpacked within bounds whatever the bytes are.

A block of samples is the timestamps (int64) and the values (float64, series by series), little-endian. Neighbours in
time look alike: each number is XORed with the one before it, bit by bit, and the bytes are regrouped by their place
(all first ones, then all second ones) before Zstandard sees them. Nothing is rounded; every NaN comes back as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
import numpy as np
import zstandard

from cybercorp.protocol.recordings import MAX_BLOCK_BYTES, MAX_FRAME_BYTES, damaged
from cybercorp.store.timeseries.rows import Floats, Integers

_LEVEL = 9
_NUMBER_BYTES = 8
_HEAD_BYTES = 4096  # what a frame holds beside its data, at most
ItemT = TypeVar("ItemT")


def rows_of_a_block(series: int) -> int:
    """How many rows of so many series one block may hold: at most half an hour of them, at least one."""
    return max(1, min(1800, MAX_FRAME_BYTES // 2 // (_NUMBER_BYTES * (series + 1))))


def pack_samples(timestamps: Integers, values: Floats) -> tuple[int, bytes]:
    """(size, data) of `timestamps` [rows] and `values` [rows, series]."""
    numbers = np.empty((values.shape[1] + 1, len(timestamps)), dtype="<u8")
    numbers[0] = timestamps.view(np.uint64)
    numbers[1:] = np.ascontiguousarray(values.T).view(np.uint64)
    numbers[:, 1:] ^= numbers[:, :-1].copy()
    planes = np.ascontiguousarray(numbers.view(np.uint8).reshape(*numbers.shape, _NUMBER_BYTES).transpose(0, 2, 1))
    return planes.nbytes, zstandard.ZstdCompressor(level=_LEVEL).compress(planes.tobytes())


def unpack_samples(data: bytes, size: int, rows: int, series: int) -> tuple[Integers, Floats]:
    """The timestamps [rows] and the values [rows, series]. Raises MalformedMessageError."""
    if rows < 1 or size != rows * (series + 1) * _NUMBER_BYTES:
        raise damaged("a block of samples has another size than it says")
    planes = np.frombuffer(_unpack(data, size), dtype=np.uint8).reshape(series + 1, _NUMBER_BYTES, rows)
    numbers = np.ascontiguousarray(planes.transpose(0, 2, 1)).view("<u8").reshape(series + 1, rows)
    numbers = np.bitwise_xor.accumulate(numbers, axis=1)
    return numbers[0].astype(np.uint64).view(np.int64), np.ascontiguousarray(numbers[1:].T).view("<f8")


def pack_items(items: Sequence[object]) -> tuple[int, bytes]:
    """(size, data) of a list of messages."""
    packed = msgspec.msgpack.encode(items)
    return len(packed), zstandard.ZstdCompressor(level=_LEVEL).compress(packed)


def unpack_items(data: bytes, size: int, count: int, kind: type[ItemT]) -> list[ItemT]:
    """The messages of a block, all of one kind. Raises MalformedMessageError."""
    try:
        found: list[ItemT] = msgspec.msgpack.decode(_unpack(data, size), type=list[kind])  # type: ignore[valid-type]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(f"a block cannot be read ({str(error)[:100]})") from error
    if len(found) != count:
        raise damaged("a block holds another number of entries than it says")
    return found


def fits(size: int, data: bytes) -> bool:
    """Whether a block of this size may be written."""
    return size <= MAX_BLOCK_BYTES and len(data) <= MAX_FRAME_BYTES - _HEAD_BYTES


def _unpack(data: bytes, size: int) -> bytes:
    """Exactly `size` bytes. The size is checked before anything is unpacked, so a small file cannot fill the memory."""
    if not 0 <= size <= MAX_BLOCK_BYTES:
        raise damaged(f"a block says that it has {size:,} bytes")
    try:
        told = zstandard.get_frame_parameters(data)
        if told.content_size != size or told.window_size > MAX_BLOCK_BYTES:
            raise damaged("a block has another size than it says")
        found = zstandard.ZstdDecompressor(max_window_size=1 << 25).decompress(data, max_output_size=size)
    except zstandard.ZstdError as error:
        raise damaged(f"a block cannot be unpacked ({str(error)[:100]})") from error
    if len(found) != size:
        raise damaged("a block has another size than it says")
    return found
