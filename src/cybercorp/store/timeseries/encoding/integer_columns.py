"""Columns of int64 as few bytes, and back. Pure functions; every int64 value comes back.

    first byte  the form: one step between all neighbours, or pcodec over offsets or over differences of some width
    then        varints: the value to start from, and the unit that all numbers are multiples of
    then        what pcodec made, without the header that is the same in all of its files

Whoever stores the bytes keeps a checksum: damaged bytes may decode to wrong values here, or raise ValueError.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pcodec import ChunkConfig, DeltaSpec, ModeSpec, PagingSpec, wrapped

from cybercorp.store.timeseries.rows import Integers

LEVEL = 8

_EVEN, _OFFSETS, _DIFFERENCES = 0, 1, 5
_WIDTHS = (8, 16, 32, 64)
_UNSIGNED = (("u8", np.uint8), ("u16", np.uint16), ("u32", np.uint32), ("u64", np.uint64))
_SIGNED = (("i8", np.int8), ("i16", np.int16), ("i32", np.int32), ("i64", np.int64))
_NUMPY = {**dict(_UNSIGNED), **dict(_SIGNED), "f64": np.float64}
_PCO_HEADER = b"\x04\x01"  # of the format that pcodec 1 writes; another one needs forms of its own
_NO_DELTA, _CLASSIC = DeltaSpec.no_op(), ModeSpec.classic()
_CLEARLY = 3.0  # so much smaller numbers need no second try


def encode_integers(values: Integers, level: int = LEVEL) -> bytes:
    """Any int64 values, at least one; `level` is pcodec's (0–12)."""
    first = int(values[0])
    steps = values[1:] - values[:-1]
    if not len(steps) or (steps == steps[0]).all():
        return _head(_EVEN, first, zigzag(int(steps[0]) if len(steps) else 0))
    lowest = int(values.min())
    offsets = (values - lowest).view(np.uint64)
    unit = int(np.gcd.reduce(offsets))
    if unit > 1:
        offsets //= np.uint64(unit)
        signed = offsets.view(np.int64)  # all below 2⁶³ now
        steps = signed[1:] - signed[:-1]
    made = []
    tries = (True, True) if len(values) < 4 else _worth_trying(offsets, steps)
    if tries[0]:
        number = next(at for at, bits in enumerate(_WIDTHS) if int(offsets.max()) >> bits == 0)
        packed = pack(offsets.astype(_UNSIGNED[number][1]), one_page(len(offsets), level))
        made.append(_head(_OFFSETS + number, lowest, unit) + packed)
    if tries[1]:
        widest = max(~int(steps.min()), int(steps.max()))
        number = next(at for at, bits in enumerate(_WIDTHS) if widest >> bits - 1 <= 0)
        packed = pack(steps.astype(_SIGNED[number][1]), one_page(len(steps), level))
        made.append(_head(_DIFFERENCES + number, first, unit) + packed)
    return min(made, key=len)


def _head(form: int, first: int, unit: int) -> bytes:
    return bytes((form,)) + write_varint(zigzag(first)) + write_varint(unit)


def _worth_trying(offsets: NDArray[np.uint64], steps: Integers) -> tuple[bool, bool]:
    """Whether to pack the offsets, and whether the differences: by how large they are."""
    change = float(np.abs(steps.astype(np.float64)).sum())
    spread = offsets.astype(np.float64)
    spread -= spread.sum() / len(spread)
    width = float(np.abs(spread).sum())
    return width < change * _CLEARLY, change < width * _CLEARLY


def decode_integers(data: bytes, rows: int) -> Integers:
    """What `encode_integers` was given: [rows]. Raises ValueError for what it never wrote."""
    form = data[0]
    start, at = read_varint(data, 1)
    unit, at = read_varint(data, at)
    first = _wrapped(unzigzag(start))
    if form == _EVEN:
        return np.arange(rows, dtype=np.int64) * _wrapped(unzigzag(unit)) + first
    if _OFFSETS <= form < _DIFFERENCES:
        result = unpack(data[at:], _UNSIGNED[form - _OFFSETS][0], rows).astype(np.uint64).view(np.int64)
    elif _DIFFERENCES <= form < _DIFFERENCES + len(_SIGNED):
        result = np.empty(rows, dtype=np.int64)
        result[0] = 0
        np.cumsum(unpack(data[at:], _SIGNED[form - _DIFFERENCES][0], rows - 1), out=result[1:], dtype=np.int64)
    else:
        raise ValueError(f"integers have no form {form}")
    if unit > 1:
        result *= _wrapped(unit)
    result += first
    return result


def pack(values: NDArray[np.generic], config: ChunkConfig) -> bytes:
    """One array by pcodec without its file header."""
    made = wrapped.FileCompressor().chunk_compressor(values, config)
    packed: bytes = made.write_meta() + made.write_page(0)
    return packed


def unpack(data: bytes, kind: str, rows: int) -> NDArray[np.generic]:
    """What `pack` was given: `rows` values of pcodec's type `kind`. Raises ValueError."""
    try:
        file, _ = wrapped.FileDecompressor.new(_PCO_HEADER)
        chunk, used = file.chunk_decompressor(data, kind)
        found = np.empty(rows, dtype=_NUMPY[kind])
        chunk.read_page_into(data[used:], rows, found)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"pcodec cannot read it: {error}") from error
    return found


def one_page(rows: int, level: int, *, automatic: bool = False) -> ChunkConfig:
    """How pcodec is to compress `rows` values: as they are, unless it is to find a mode by itself (`automatic`)."""
    paging = PagingSpec.exact_page_sizes([rows])
    if automatic:
        return ChunkConfig(compression_level=level, paging_spec=paging)
    return ChunkConfig(
        compression_level=level, paging_spec=paging, delta_spec=_NO_DELTA, mode_spec=_CLASSIC, enable_8_bit=True
    )


def write_varint(number: int) -> bytes:
    """LEB128 of a number from 0 to 2⁶⁴ − 1."""
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    made.append(number)
    return bytes(made)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and where it ends. Raises ValueError where none is."""
    number = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number & (1 << 64) - 1, at
        shift += 7
    raise ValueError("a number is cut short")


def zigzag(number: int) -> int:
    """An int64 as a number from 0, small where it is near 0."""
    return (number << 1 ^ number >> 63) & (1 << 64) - 1


def unzigzag(number: int) -> int:
    return number >> 1 ^ -(number & 1)


def _wrapped(number: int) -> np.int64:
    """The int64 with the last 64 bits of `number`."""
    return np.uint64(number & (1 << 64) - 1).view(np.int64)
