"""Columns of float64 as few bytes, and back, bit by bit: NaN payloads, −0.0, infinities and subnormals included.

Most series of a host are integers or decimals in disguise (bytes, ticks, percentages of one digit). A column whose
every value is exactly an integer divided by some scale is stored as these integers; of others the exceptions are stored
apart or, where there are many, the bits. Columns of integers are in `integer_columns`.

    first byte  the form: constant, the bits as they are, pcodec over floats, integers, or rows apart and another column
    then        what the form needs

Whoever stores the bytes keeps a checksum: damaged bytes may decode to wrong values here, or raise ValueError.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cybercorp.store.timeseries.encoding.integer_columns import (
    LEVEL,
    decode_integers,
    encode_integers,
    one_page,
    pack,
    read_varint,
    unpack,
    write_varint,
)
from cybercorp.store.timeseries.rows import Floats, Integers

# A value is its integer divided by one of these; both the scales and the quotients are correctly rounded.
SCALES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, *(2.0**power for power in range(1, 31)))

_CONSTANT, _BITS, _FLOATS, _INTEGERS, _APART = range(5)
LARGEST = 2.0**53
_PROBED = 8
_APART_SHARE = 16  # at most one row of so many is stored apart


class Scaled(NamedTuple):
    """A column as integers: every value is `integers / SCALES[scale]`, bit by bit."""

    scale: int
    integers: Integers


def encode_column(values: Floats, level: int = LEVEL) -> bytes:
    """Any float64 values, at least one; `level` is pcodec's (0–12)."""
    values = np.ascontiguousarray(values)
    bits = values.view(np.uint64)
    if (bits == bits[0]).all():
        return bytes((_CONSTANT,)) + values[:1].astype("<f8").tobytes()
    scaled = scale_column(values)
    if scaled is not None:
        return encode_scaled(scaled, level)
    return _encode_apart(values, level) or _encode_floats(values, level)


def decode_column(data: bytes, rows: int) -> Floats:
    """What `encode_column` was given: [rows]. Raises ValueError for what it never wrote."""
    form = data[0]
    if form == _INTEGERS:
        return decode_integers(data[2:], rows) / SCALES[data[1]]
    if form == _CONSTANT:
        return np.repeat(np.frombuffer(data, dtype="<f8", offset=1, count=1).astype(np.float64), rows)
    if form == _BITS:
        return np.frombuffer(data, dtype="<f8", offset=1, count=rows).astype(np.float64)
    if form == _FLOATS:
        return unpack(data[1:], "f64", rows).view(np.float64)
    if form == _APART:
        return _decode_apart(data, rows)
    raise ValueError(f"a column has no form {form}")


def scale_column(values: Floats) -> Scaled | None:
    """The integers that a column is made of, or None."""
    probe = values[:: max(1, len(values) // _PROBED)]
    for number, scale in enumerate(SCALES):
        if rows_scaled(probe, scale).all():
            integers = _integers(values, scale)
            if integers is not None:
                return Scaled(number, integers)
    return None


def encode_scaled(scaled: Scaled, level: int = LEVEL) -> bytes:
    """A column whose integers are known already."""
    return bytes((_INTEGERS, scaled.scale)) + encode_integers(scaled.integers, level)


def decode_scaled(data: bytes, rows: int) -> Integers:
    """The integers [rows] of a column that was encoded as such. Raises ValueError for another one."""
    if data[0] != _INTEGERS:
        raise ValueError(f"a column of form {data[0]} has no integers")
    return decode_integers(data[2:], rows)


def rows_scaled(values: Floats, scale: float) -> NDArray[np.bool_]:
    """Which values are exactly integers below 2⁵³ divided by `scale`, bit by bit: −0.0 is not. Of any shape."""
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = np.rint(values * scale) + 0.0  # of −0.0 it makes 0.0
        same = (numbers / scale).view(np.uint64) == values.view(np.uint64)
        found: NDArray[np.bool_] = same & (np.abs(numbers) < LARGEST)
    return found


def _integers(values: Floats, scale: float) -> Integers | None:
    """The integers of a column with this scale, or None if one is missing. As `rows_scaled`, in half the time."""
    with np.errstate(over="ignore", invalid="ignore"):
        numbers = np.rint(values) if scale == 1.0 else np.rint(values * scale)
        numbers += 0.0  # of −0.0 it makes 0.0
        back = numbers if scale == 1.0 else numbers / scale
    if (back.view(np.uint64) != values.view(np.uint64)).any() or not max(-numbers.min(), numbers.max()) < LARGEST:
        return None
    return numbers.astype(np.int64)


def _encode_floats(values: Floats, level: int) -> bytes:
    packed = pack(values, one_page(len(values), level, automatic=True))
    if len(packed) < 8 * len(values):
        return bytes((_FLOATS,)) + packed
    return bytes((_BITS,)) + values.astype("<f8").tobytes()


def _encode_apart(values: Floats, level: int) -> bytes | None:
    """A column of integers but for a few rows, a NaN where a value was missing for example; or None."""
    allowed = len(values) // _APART_SHARE
    for number, scale in enumerate(SCALES[:4]) if allowed else ():
        apart = np.flatnonzero(~rows_scaled(values, scale))
        if len(apart) > allowed:
            continue
        bits = values[apart].view(np.int64)
        places = encode_integers(apart.astype(np.int64), level)
        odd = encode_integers(bits, level)
        filled = values.copy()
        filled[apart] = 0.0
        good = np.maximum.accumulate(
            np.where(filled.view(np.uint64) == values.view(np.uint64), np.arange(len(values)), -1)
        )
        filled = filled[np.maximum(good, 0)]
        integers = np.rint(filled * scale).astype(np.int64)
        head = bytes((_APART,)) + write_varint(len(apart)) + write_varint(len(places)) + write_varint(len(odd))
        return head + places + odd + encode_scaled(Scaled(number, integers), level)
    return None


def _decode_apart(data: bytes, rows: int) -> Floats:
    count, at = read_varint(data, 1)
    places_bytes, at = read_varint(data, at)
    odd_bytes, at = read_varint(data, at)
    places = decode_integers(data[at : at + places_bytes], count)
    at += places_bytes
    odd = decode_integers(data[at : at + odd_bytes], count)
    result = decode_column(data[at + odd_bytes :], rows)
    if len(places) and not 0 <= int(places.min()) <= int(places.max()) < rows:
        raise ValueError("a row apart is outside the column")
    result[places] = odd.view(np.float64)
    return result
