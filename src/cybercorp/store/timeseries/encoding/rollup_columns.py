"""The bytes of one series of a rollup: each aggregate is told by the others as far as it can be. Pure functions.

A minute of a series is count, sum, minimum, maximum and last. Written apart they cost a quarter of the samples; but a
count is nearly always that of the rows, and the rest follow from each other or from another series (`rollup_whole`).
What is told wrongly is kept beside it, bit by bit.

    first byte  the form: no value, one value, whole numbers alone or told by another series, floats
    then        the value; or scale and flags; or scale and relation
    then        which parts there are, their lengths, the parts
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from cybercorp.store.timeseries.encoding.chunks import DamagedChunkError
from cybercorp.store.timeseries.encoding.columns import SCALES, decode_column, encode_column
from cybercorp.store.timeseries.encoding.integer_columns import read_varint, write_varint
from cybercorp.store.timeseries.encoding.related_columns import Relation, find_relations, read_relation, write_relation
from cybercorp.store.timeseries.encoding.rollup_whole import (
    Whole,
    decode_alone,
    decode_told,
    encode_alone,
    encode_told,
    whole_of,
)
from cybercorp.store.timeseries.rows import Floats, Integers

_EMPTY, _CONSTANT, _ALONE, _TOLD, _FLOATS = range(5)
NO_VALUES = bytes((_EMPTY,))
"""The bytes of a series without any value."""

_PARTS = 8
_COUNTS, _LAST, _MAX, _MIN, _SUM, _SUM_PATCH, _GROWTH, _ELAPSED = range(_PARTS)
_SPARSE, _FULL = b"\x00", b"\x01"
_GAIN = 0.75  # of the bits of the last values: only a close relation tells the other aggregates too


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


class _Filled(NamedTuple):
    """A series without its gaps, and its whole numbers where it has some; `last` is empty where it has no value."""

    has: np.ndarray
    last: Floats
    high: Floats
    low: Floats
    sum: Floats
    whole: Whole | None

    @property
    def is_constant(self) -> bool:
        bits = self.last.view(np.uint64)
        return bool((bits == bits[:1]).all()) and _equal(self.low, self.last) and _equal(self.high, self.last)


def encode_group(group: Mapping[int, SeriesIntervals], shared: RowNumbers) -> dict[int, bytes]:
    """The bytes of several series of one chunk by the numbers under which a reader finds them.

    Lossless, but that a NaN comes back as the standard one, and −0.0 may come back as 0.0.
    """
    filled = {number: _fill(series) for number, series in group.items()}
    whole = {number: one.whole for number, one in filled.items() if one.whole is not None and not one.is_constant}
    numbers = list(whole)
    relations = {
        numbers[place]: relation._replace(other=numbers[relation.other])
        for place, relation in find_relations([one.last for one in whole.values()], _GAIN).items()
    }
    return {
        number: _encode(series, filled[number], shared, relations.get(number), whole)
        for number, series in group.items()
    }


def decode_series(data: bytes, shared: RowNumbers, whole: Callable[[int], Whole]) -> SeriesIntervals:
    """`whole` gives the whole numbers of another series. Raises DamagedChunkError for bytes that were never written."""
    size = len(shared.rows)
    if data == NO_VALUES:
        none = np.full(size, np.nan)
        return SeriesIntervals(np.zeros(size), np.zeros(size), none, none, none, none, none)
    try:
        form, at = data[0], 9 if data[0] == _CONSTANT else _head_end(data)
        parts = _split(data, at)
        counts = _patched(shared.rows.astype(np.float64), parts[_COUNTS])
        if form == _CONSTANT:
            value = struct.unpack_from("<d", data, 1)[0]
            last = low = high = np.full(size, value)
            total = _patched(_times(counts, value), parts[_SUM_PATCH])
        elif form == _FLOATS:
            last, high, low, total = (decode_column(parts[part], size) for part in (_LAST, _MAX, _MIN, _SUM))
        else:
            found = _whole(data, parts, counts, whole)
            scale = SCALES[found.scale]
            last, high, low = found.last / scale, found.high / scale, found.low / scale
            total = _patched(found.sum / scale, parts[_SUM_PATCH])
        has = counts > 0
        growth = elapsed = np.full(size, np.nan)
        if parts[_GROWTH]:
            told, took = _grown(last, has, shared)
            growth, elapsed = _patched(told, parts[_GROWTH]), _patched(took, parts[_ELAPSED])
    except (ValueError, IndexError, struct.error) as error:
        raise DamagedChunkError(f"a series cannot be read: {error}") from error
    if not has.all():
        last, low, high = (np.where(has, one, np.nan) for one in (last, low, high))
    return SeriesIntervals(counts, total, low, high, last, growth, elapsed)


def decode_whole(data: bytes, shared: RowNumbers) -> Whole:
    """The whole numbers of a series that tells others. Raises DamagedChunkError."""
    try:
        if data[0] != _ALONE:
            raise ValueError(f"form {data[0]} tells no other series")
        parts = _split(data, _head_end(data))
        return _whole(data, parts, _patched(shared.rows.astype(np.float64), parts[_COUNTS]), None)
    except (ValueError, IndexError, struct.error) as error:
        raise DamagedChunkError(f"a series cannot be read: {error}") from error


def _fill(series: SeriesIntervals) -> _Filled:
    has = series.counts > 0
    if not has.any():
        none = np.empty(0)
        return _Filled(has, none, none, none, none, None)
    last, high, low = (_without_gaps(one, has) for one in (series.last, series.max, series.min))
    total = np.where(has, series.sum, 0.0)
    return _Filled(has, last, high, low, total, whole_of(last, high, low, total))


def _encode(
    series: SeriesIntervals, filled: _Filled, shared: RowNumbers, relation: Relation | None, whole: Mapping[int, Whole]
) -> bytes:
    if not len(filled.last):
        return NO_VALUES
    counts = series.counts
    parts = [b""] * _PARTS
    parts[_COUNTS] = _patch(shared.rows.astype(np.float64), counts)
    if filled.is_constant:
        head = bytes((_CONSTANT,)) + filled.last[:1].astype("<f8").tobytes()
        parts[_SUM_PATCH] = _patch(_times(counts, filled.last[0]), filled.sum)
    elif filled.whole is None:
        head = bytes((_FLOATS,))
        parts[_LAST : _SUM + 1] = [encode_column(one) for one in (filled.last, filled.high, filled.low, filled.sum)]
    else:
        numbers = counts.astype(np.int64)
        if relation is not None:
            head = bytes((_TOLD, filled.whole.scale)) + write_relation(relation)
            parts[_LAST : _SUM + 1] = encode_told(filled.whole, numbers, relation, whole[relation.other])
        else:
            flags, parts[_LAST : _SUM + 1] = encode_alone(filled.whole, numbers)
            head = bytes((_ALONE, filled.whole.scale, flags))
        parts[_SUM_PATCH] = _patch(filled.whole.sum / SCALES[filled.whole.scale], filled.sum)
    if not np.isnan(series.growth).all():
        told, took = _grown(filled.last, filled.has, shared)
        parts[_GROWTH] = _patch(told, series.growth) or _SPARSE  # present: it is a counter
        parts[_ELAPSED] = _patch(took, series.elapsed)
    present = sum(1 << number for number, part in enumerate(parts) if part)
    lengths = b"".join(write_varint(len(part)) for part in parts if part)
    return b"".join((head, bytes((present,)), lengths, *parts))


def _head_end(data: bytes) -> int:
    form = data[0]
    if form == _ALONE:
        return 3
    if form == _TOLD:
        return read_relation(data, 2)[1]
    if form == _FLOATS:
        return 1
    raise ValueError(f"a series has no form {form}")


def _whole(data: bytes, parts: list[bytes], counts: Floats, whole: Callable[[int], Whole] | None) -> Whole:
    numbers = counts.astype(np.int64)
    if data[0] == _ALONE or whole is None:
        return decode_alone(data[1], data[2], parts[_LAST : _SUM + 1], numbers)
    relation, _ = read_relation(data, 2)
    return decode_told(data[1], parts[_LAST : _SUM + 1], numbers, relation, whole(relation.other))


def _equal(one: Floats, other: Floats) -> bool:
    return bool((one.view(np.uint64) == other.view(np.uint64)).all())


def _times(counts: Floats, value: float) -> Floats:
    with np.errstate(over="ignore"):
        return counts * value


def _without_gaps(values: Floats, has: np.ndarray) -> Floats:
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


def _patch(told: Floats, true: Floats) -> bytes:
    """What is not as told; nothing where all is. NaN equals NaN, and −0.0 equals 0.0."""
    wrong = np.flatnonzero((told != true) & ~(np.isnan(told) & np.isnan(true)))
    if not len(wrong):
        return b""
    sparse = _SPARSE + wrong.astype("<u2").tobytes() + true[wrong].tobytes()
    if len(wrong) * 8 <= len(true):
        return sparse
    return min(sparse, _FULL + encode_column(true), key=len)


def _patched(told: Floats, patch: bytes) -> Floats:
    if patch[:1] == _FULL:
        return decode_column(patch[1:], len(told))
    wrong = (len(patch) - 1) // 10
    if wrong > 0:
        places = np.frombuffer(patch, dtype="<u2", count=wrong, offset=1)
        told = told.copy()
        told[places] = np.frombuffer(patch, dtype="<f8", count=wrong, offset=1 + 2 * wrong)
    return told


def _split(data: bytes, at: int) -> list[bytes]:
    present = data[at]
    at += 1
    lengths = []
    for number in range(_PARTS):
        length = 0
        if present >> number & 1:
            length, at = read_varint(data, at)
        lengths.append(length)
    parts = []
    for length in lengths:
        parts.append(data[at : at + length])
        at += length
    return parts
