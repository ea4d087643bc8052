"""The bytes of one series of a rollup: each aggregate is told by the others as far as it can be. Pure functions.

A minute of a series is count, sum, minimum, maximum and last. Written apart they cost a quarter of the samples; but a
count is nearly always that of the rows, a counter's last is its maximum and its minimum follows from the last before,
and a sum lies about halfway between minimum and maximum. What is told wrongly is kept beside it, bit by bit.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from pcodec import ChunkConfig, DeltaSpec, standalone

from cybercorp.store.timeseries.chunks import DamagedChunkError
from cybercorp.store.timeseries.rows import Floats, Integers

_EMPTY, _CONSTANT, _SCALED, _COUNTER, _FLOATS = range(5)
NO_VALUES = bytes((_EMPTY,))
"""The bytes of a series without any value."""

_SCALES = (1.0, 10.0, 100.0, 1000.0, 2048.0, 1e4, 1e5, 1e6, 65536.0)
_LARGEST = float(1 << 52)
_LARGEST_SUM = float(1 << 62)
_PARTS = 8
_COUNTS, _LAST, _MAX, _MIN, _SUM, _SUM_PATCH, _GROWTH, _ELAPSED = range(_PARTS)
_SPARSE, _FULL = b"\x00", b"\x01"
_NOISE = ChunkConfig(compression_level=8, delta_spec=DeltaSpec.no_op())
_STEPS = ChunkConfig(compression_level=8, delta_spec=DeltaSpec.try_consecutive(1))
_FLOAT = ChunkConfig(compression_level=8)
_PCO, _SAME = b"\x02", b"\x03"


class SeriesIntervals(NamedTuple):
    """One series of `Intervals`: float64 [intervals] each. Growth and elapsed are NaN for a gauge."""

    counts: Floats
    sum: Floats
    min: Floats
    max: Floats
    last: Floats
    growth: Floats
    elapsed: Floats


class RowNumbers(NamedTuple):
    """What all series of a rollup share: rows of each interval, the milliseconds that rows cover; int64 [intervals]."""

    rows: Integers
    elapsed: Integers


def encode_series(series: SeriesIntervals, shared: RowNumbers) -> bytes:
    """The bytes; lossless, but that −0.0 of a sum may come back as 0.0 and any NaN as the standard one."""
    counts = series.counts
    has = counts > 0
    if not has.any():
        return NO_VALUES
    parts = [b""] * _PARTS
    parts[_COUNTS] = _patch(shared.rows.astype(np.float64), counts)
    last, low, high = (_filled(one, has) for one in (series.last, series.min, series.max))
    total = np.where(has, series.sum, 0.0)
    mode, value = _SCALED, b""
    bits = last.view(np.uint64)
    if (bits == bits[0]).all() and _equal(low, last) and _equal(high, last):
        mode, value = _CONSTANT, last[:1].tobytes()
        parts[_SUM_PATCH] = _patch(_times(counts, last[0]), total)
    elif (scale := _scale_of(last, low, high, total)) is not None:
        mode, value = _scaled(parts, scale, counts, last, low, high, total)
    else:
        mode = _FLOATS
        for part, one in ((_LAST, last), (_MAX, high), (_MIN, low), (_SUM, total)):
            parts[part] = _encode_floats(one)
    if not np.isnan(series.growth).all():
        told, took = _grown(last, has, shared)
        parts[_GROWTH] = _patch(told, series.growth) or _SPARSE  # present: it is a counter
        parts[_ELAPSED] = _patch(took, series.elapsed)
    present = sum(1 << number for number, part in enumerate(parts) if part)
    lengths = struct.pack(f"<{present.bit_count()}I", *(len(part) for part in parts if part))
    return b"".join((bytes((mode,)), value, bytes((present,)), lengths, *parts))


def decode_series(data: bytes, shared: RowNumbers) -> SeriesIntervals:
    """Raises DamagedChunkError for bytes that this version cannot read."""
    size = len(shared.rows)
    mode = data[0] if data else -1
    if mode == _EMPTY:
        none = np.full(size, np.nan)
        return SeriesIntervals(np.zeros(size), np.zeros(size), none, none, none, none, none)
    at = 1
    value = 0.0
    if mode == _CONSTANT:
        value, at = struct.unpack_from("<d", data, 1)[0], 9
    elif mode in (_SCALED, _COUNTER):
        value, at = _SCALES[data[1]], 2
    elif mode != _FLOATS:
        raise DamagedChunkError(f"a series has the unknown form {mode}")
    parts = _split(data, at)
    rows = shared.rows.astype(np.float64)
    counts = _patched(rows, parts[_COUNTS])
    if mode == _CONSTANT:
        last = low = high = np.full(size, value)
        total = _patched(_times(counts, value), parts[_SUM_PATCH])
    elif mode == _FLOATS:
        last, high, low, total = (_decode_floats(parts[part], size) for part in (_LAST, _MAX, _MIN, _SUM))
    else:
        last, low, high, total = _unscaled(parts, value, counts, mode == _COUNTER)
    has = counts > 0
    growth = elapsed = np.full(size, np.nan)
    if parts[_GROWTH]:
        told, took = _grown(last, has, shared)
        growth, elapsed = _patched(told, parts[_GROWTH]), _patched(took, parts[_ELAPSED])
    if not has.all():
        last, low, high = (np.where(has, one, np.nan) for one in (last, low, high))
    return SeriesIntervals(counts, total, low, high, last, growth, elapsed)


def encode_integers(values: Integers) -> bytes:
    """Any int64 numbers; at least one."""
    if (values == values[0]).all():
        return _SAME + values[:1].tobytes()
    noise = standalone.simple_compress(np.ascontiguousarray(values), _NOISE)
    steps = standalone.simple_compress(np.ascontiguousarray(values), _STEPS)
    best: bytes = min(noise, steps, key=len)
    return _PCO + best


def decode_integers(data: bytes, size: int) -> Integers:
    """Raises DamagedChunkError."""
    if data[:1] == _SAME:
        return np.repeat(np.frombuffer(data, dtype=np.int64, offset=1), size)
    return _decompress(data, size)


def _encode_floats(values: Floats) -> bytes:
    if (values.view(np.int64) == values.view(np.int64)[0]).all():
        return _SAME + values[:1].tobytes()
    packed: bytes = standalone.simple_compress(np.ascontiguousarray(values), _FLOAT)
    return _PCO + packed


def _decode_floats(data: bytes, size: int) -> Floats:
    if data[:1] == _SAME:
        return np.repeat(np.frombuffer(data, dtype=np.float64, offset=1), size)
    return _decompress(data, size)


def _decompress(data: bytes, size: int) -> np.ndarray:
    found: np.ndarray = standalone.simple_decompress(data[1:]) if data[:1] == _PCO else np.empty(0)
    if len(found) != size:
        raise DamagedChunkError(f"a column has {len(found)} values instead of {size}")
    return found


def _equal(one: Floats, other: Floats) -> bool:
    return bool((one.view(np.uint64) == other.view(np.uint64)).all())


def _times(counts: Floats, value: float) -> Floats:
    with np.errstate(over="ignore"):
        return counts * value


def _filled(values: Floats, has: np.ndarray) -> Floats:
    """Gaps take the value before them, the first one the value behind it, so that they cost nothing."""
    if has.all():
        return values
    places = np.maximum.accumulate(np.where(has, np.arange(len(values)), -1))
    return values[np.where(places >= 0, places, int(np.argmax(has)))]


def _grown(last: Floats, has: np.ndarray, shared: RowNumbers) -> tuple[Floats, Floats]:
    """What growth and elapsed time most probably are."""
    with np.errstate(over="ignore", invalid="ignore"):
        growth = np.where(has, np.diff(last, prepend=last[:1]), 0.0)
    return growth, np.where(has, shared.elapsed, 0.0)


def _scale_of(last: Floats, low: Floats, high: Floats, total: Floats) -> int | None:
    """The first scale that makes whole numbers of all values."""
    most = max(float(np.abs(last).max()), float(np.abs(low).max()), float(np.abs(high).max()))
    whole = float(np.abs(total).max())
    for number, scale in enumerate(_SCALES):
        if most * scale > _LARGEST or not whole * scale < _LARGEST_SUM:
            return None
        if all(_equal(np.rint(one * scale) / scale, one) for one in (last, low, high)):
            return number
    return None


def _scaled(
    parts: list[bytes], number: int, counts: Floats, last: Floats, low: Floats, high: Floats, total: Floats
) -> tuple[int, bytes]:
    scale = _SCALES[number]
    ends, lows, highs, sums = (np.rint(one * scale).astype(np.int64) for one in (last, low, high, total))
    falls = int((ends[1:] < ends[:-1]).sum())
    mode = _COUNTER if 2 * int((highs == ends).sum()) > len(ends) and 10 * falls <= len(ends) else _SCALED
    parts[_LAST] = encode_integers(ends)
    parts[_MAX] = encode_integers(highs - ends if mode == _COUNTER else highs)
    parts[_MIN] = encode_integers(lows - _before(ends) if mode == _COUNTER else lows)
    parts[_SUM] = encode_integers(sums - _middle(counts, lows, highs))
    parts[_SUM_PATCH] = _patch(sums / scale, total)
    return mode, bytes((number,))


def _unscaled(parts: list[bytes], scale: float, counts: Floats, counter: bool) -> tuple[Floats, Floats, Floats, Floats]:
    size = len(counts)
    ends, highs, lows, sums = (decode_integers(parts[part], size) for part in (_LAST, _MAX, _MIN, _SUM))
    if counter:
        highs, lows = highs + ends, lows + _before(ends)
    total = _patched((sums + _middle(counts, lows, highs)) / scale, parts[_SUM_PATCH])
    return ends / scale, lows / scale, highs / scale, total


def _before(ends: Integers) -> Integers:
    return np.concatenate((ends[:1], ends[:-1]))


def _middle(counts: Floats, lows: Integers, highs: Integers) -> Integers:
    """The sum of values that lie evenly between minimum and maximum; it may wrap around, here as there."""
    middle: Integers = counts.astype(np.int64) * (lows + highs) // 2
    return middle


def _patch(told: Floats, true: Floats) -> bytes:
    """What is not as told; nothing where all is. NaN equals NaN, and −0.0 equals 0.0."""
    wrong = np.flatnonzero((told != true) & ~(np.isnan(told) & np.isnan(true)))
    if not len(wrong):
        return b""
    sparse = _SPARSE + wrong.astype("<u2").tobytes() + true[wrong].tobytes()
    if len(wrong) * 8 <= len(true):
        return sparse
    return min(sparse, _FULL + _encode_floats(true), key=len)


def _patched(told: Floats, patch: bytes) -> Floats:
    if patch[:1] == _FULL:
        return _decode_floats(patch[1:], len(told))
    wrong = (len(patch) - 1) // 10
    if wrong > 0:
        places = np.frombuffer(patch, dtype="<u2", count=wrong, offset=1)
        told = told.copy()
        told[places] = np.frombuffer(patch, dtype="<f8", count=wrong, offset=1 + 2 * wrong)
    return told


def _split(data: bytes, at: int) -> list[bytes]:
    present = data[at]
    lengths = iter(struct.unpack_from(f"<{present.bit_count()}I", data, at + 1))
    at += 1 + 4 * present.bit_count()
    parts = []
    for number in range(_PARTS):
        length = next(lengths) if present >> number & 1 else 0
        parts.append(data[at : at + length])
        at += length
    return parts
