"""The large parts of a recording: packed small, and unpacked within bounds whatever the bytes are.

A block of samples is a mode for each column (one byte), then the columns: the timestamps, then the values series by
series, eight bytes a number, little-endian. What was written with up to six decimals becomes whole numbers (mode: how
many), each as its difference to the one before; others (mode 255) keep their bits, each XORed with those of the one
before. The bytes are regrouped by their place (all first ones, then all second ones) before Zstandard sees them.
Nothing is rounded: a column is taken as decimals only if it comes back bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from cybercorp.protocol.decoding import UNREADABLE
from cybercorp.protocol.recordings import MAX_BLOCK_BYTES, MAX_FRAME_BYTES, damaged
from cybercorp.store.timeseries.rows import Floats, Integers

_LEVEL = 9
_NUMBER_BYTES = 8
_BITS = 255
_DECIMALS = 6
_POWERS = np.array([10.0**decimals for decimals in range(_DECIMALS + 1)])
_EXACT = float(1 << 53)
_HEAD_BYTES = 4096  # what a frame holds beside its data, at most
ItemT = TypeVar("ItemT")


def rows_of_a_block(series: int) -> int:
    """How many rows of so many series one block may hold: at most half an hour of them, at least one."""
    return max(1, min(1800, MAX_FRAME_BYTES // 2 // (_NUMBER_BYTES * (series + 1))))


def pack_samples(timestamps: Integers, values: Floats) -> tuple[int, bytes]:
    """(size, data) of `timestamps` [rows] and `values` [rows, series]."""
    columns = np.ascontiguousarray(values.T)
    numbers = np.empty((len(columns) + 1, len(timestamps)), dtype="<u8")
    modes = np.full(len(numbers), _BITS, dtype=np.uint8)
    numbers[0], modes[0] = timestamps.view(np.uint64), 0
    numbers[1:] = columns.view(np.uint64)
    for decimals in range(_DECIMALS + 1):
        left = np.flatnonzero(modes[1:] == _BITS)
        wholes, exact = _wholes(columns[left], decimals)
        chosen = left[exact]
        modes[1:][chosen] = decimals
        numbers[1:][chosen] = wholes[exact].view(np.uint64)
    bits = modes == _BITS
    before = numbers[:, :-1].copy()
    numbers[bits, 1:] ^= before[bits]
    numbers[~bits, 1:] -= before[~bits]
    numbers[~bits] = _zigzag(numbers[~bits])
    planes = np.ascontiguousarray(numbers.view(np.uint8).reshape(*numbers.shape, _NUMBER_BYTES).transpose(0, 2, 1))
    plain = modes.tobytes() + planes.tobytes()
    return len(plain), zstandard.ZstdCompressor(level=_LEVEL).compress(plain)


def unpack_samples(data: bytes, size: int, rows: int, series: int) -> tuple[Integers, Floats]:
    """The timestamps [rows] and the values [rows, series]. Raises MalformedMessageError."""
    count = series + 1
    if rows < 1 or size != count * (1 + rows * _NUMBER_BYTES):
        raise damaged("a block of samples has another size than it says")
    plain = _unpack(data, size)
    modes = np.frombuffer(plain, dtype=np.uint8, count=count)
    bits = modes == _BITS
    if modes[0] or (modes[~bits] > _DECIMALS).any():
        raise damaged("a block of samples is packed in an unknown way")
    planes = np.frombuffer(plain, dtype=np.uint8, offset=count).reshape(count, _NUMBER_BYTES, rows)
    numbers = np.ascontiguousarray(planes.transpose(0, 2, 1)).view("<u8").reshape(count, rows)
    wholes = np.add.accumulate(_unzigzag(numbers[~bits]), axis=1, dtype=np.uint64).view(np.int64)
    values = np.empty((series, rows))
    values[bits[1:]] = np.bitwise_xor.accumulate(numbers[bits], axis=1).view(np.float64)
    values[~bits[1:]] = wholes[1:] / _POWERS[modes[1:][~bits[1:]]][:, None]
    return wholes[0].copy(), np.ascontiguousarray(values.T)


def _wholes(columns: Floats, decimals: int) -> tuple[Integers, NDArray[np.bool_]]:
    """The columns [n, rows] as whole numbers of this many decimals, and which of them come back exactly."""
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.rint(columns * _POWERS[decimals])
        fits = np.abs(scaled) < _EXACT
        wholes = np.where(fits, scaled, 0).astype(np.int64)
        same = (wholes / _POWERS[decimals]).view(np.uint64) == columns.view(np.uint64)
    return wholes, same.all(axis=1)


def _zigzag(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Small differences of either sign as small numbers."""
    return (numbers << np.uint64(1)) ^ (numbers.view(np.int64) >> np.int64(63)).view(np.uint64)


def _unzigzag(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return (numbers >> np.uint64(1)) ^ (np.uint64(0) - (numbers & np.uint64(1)))


def pack_items(items: Sequence[object]) -> tuple[int, bytes]:
    """(size, data) of a list of messages."""
    packed = msgspec.msgpack.encode(items)
    return len(packed), zstandard.ZstdCompressor(level=_LEVEL).compress(packed)


def unpack_items(data: bytes, size: int, count: int, kind: type[ItemT]) -> list[ItemT]:
    """The messages of a block, all of one kind. Raises MalformedMessageError."""
    try:
        found: list[ItemT] = msgspec.msgpack.decode(_unpack(data, size), type=list[kind])  # type: ignore[valid-type]
    except UNREADABLE as error:
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
