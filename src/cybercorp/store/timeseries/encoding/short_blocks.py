"""The rows of one host for a minute or so, as one compressed piece. Pure functions, all series at a time.

Such a block lives until it is merged, so it is made for speed: a few numpy calls over the whole matrix instead of one
per series. Each column is integers (see `columns`) or, where it is not, the bits of its floats as integers; what is
stored is the first of them and the differences, in as few whole bytes as the widest needs.

    a step        that is taken off every difference of the timestamps, so that regular ones have none
    for each      of the timestamps and all series: scale, bytes of a difference (0, 1, 2, 4, 8), first integer
    for each      width: the differences of its columns, first all lowest bytes, then all second ones, and so on
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import zstandard
from numpy.typing import NDArray

from cybercorp.store.timeseries.encoding.columns import LARGEST, SCALES
from cybercorp.store.timeseries.encoding.compression import compress_fast, decompress
from cybercorp.store.timeseries.rows import Floats, Integers

_WIDTHS = (1, 2, 4, 8)
_BITS = 255  # instead of a scale: the integers are the bits of the floats
_TRIED = (0, 1, 2, 3, 17)  # 1, 10, 100, 1000 and the 2048ths of a load average
_STEP_BYTES = 8
_ONE = np.uint64(1)
_MASK = (1 << 64) - 1


def encode_block(timestamps: Integers, values: Floats) -> bytes:
    """`values` [rows, series] at `timestamps` [rows], at least one row and one series."""
    bits = values.view(np.int64)
    changing = np.flatnonzero((bits != bits[0]).any(axis=0))
    columns = values.shape[1] + 1
    scales, widths = np.full(columns, _BITS, dtype=np.uint8), np.zeros(columns, dtype=np.uint8)
    firsts = np.empty((1, columns), dtype=np.int64)
    firsts[0, 1:] = bits[0]
    numbers = np.empty((len(changing) + 1, len(timestamps)), dtype=np.int64)
    numbers[0] = timestamps
    scales[changing + 1] = _to_integers(np.ascontiguousarray(values.T[changing]), numbers[1:])
    places = np.concatenate(([0], changing + 1))
    firsts[0, places] = numbers[:, 0]
    steps = numbers[:, 1:] - numbers[:, :-1]
    step = steps[:1, :1].copy() if len(timestamps) > 1 else np.zeros((1, 1), dtype=np.int64)
    steps[0] -= step[0]
    folded = (steps << 1 ^ steps >> 63).view(np.uint64)
    widest = folded.max(axis=1, initial=0)
    needed = sum((widest >= limit).astype(np.intp) for limit in (1, 1 << 8, 1 << 16, 1 << 32))
    widths[places] = np.array((0, *_WIDTHS), dtype=np.uint8)[needed]
    parts = [step.astype("<i8").tobytes(), scales.tobytes(), widths.tobytes(), _planes(firsts, 8)]
    parts += [_planes(folded[needed == number + 1], width) for number, width in enumerate(_WIDTHS)]
    return compress_fast(b"".join(parts))


class BlockReader:
    """Takes a block of `rows` rows and `series` series apart. Raises ValueError for what was never written."""

    def __init__(self, data: bytes, rows: int, series: int) -> None:
        try:
            self._data = decompress(data)
        except zstandard.ZstdError as error:
            raise ValueError(f"it cannot be decompressed: {error}") from error
        self._rows = rows
        columns = self._columns = series + 1
        self._scales = self._data[_STEP_BYTES : _STEP_BYTES + columns]
        self._widths = self._data[_STEP_BYTES + columns : _STEP_BYTES + 2 * columns]
        self._counts = [self._widths.count(width) for width in _WIDTHS]
        self._starts = [_STEP_BYTES + 10 * columns]
        for width, count in zip(_WIDTHS, self._counts, strict=True):
            self._starts.append(self._starts[-1] + width * count * (rows - 1))
        if len(self._data) != self._starts[-1]:
            raise ValueError(f"it has {len(self._data)} bytes instead of {self._starts[-1]}")

    def timestamps(self) -> Integers:
        step = int.from_bytes(self._data[:_STEP_BYTES], "little", signed=True)
        result = np.arange(self._rows, dtype=np.int64)
        result *= step
        result += self._integers(0)
        return result

    def column(self, number: int) -> Floats:
        """The values [rows] of one series."""
        found = self._integers(number + 1)
        scale = self._scales[number + 1]
        return found.view(np.float64) if scale == _BITS else found / SCALES[scale]

    def matrix(self, out: Floats, columns: Sequence[int]) -> None:
        """Decode `columns` into `out` [rows, len(columns)]: one by one where they are few."""
        if 8 * len(columns) < self._columns:
            for position, number in enumerate(columns):
                out[:, position] = self.column(number)
            return
        widths = np.frombuffer(self._widths, dtype=np.uint8)[1:]
        scales = np.frombuffer(self._scales, dtype=np.uint8)[1:]
        firsts = self._firsts()[1:]
        changing = np.flatnonzero(widths)
        numbers = np.zeros((len(changing), self._rows), dtype=np.uint64)
        numbers[:, 0] = firsts[changing].view(np.uint64)
        width_of = widths[changing]
        timed = self._widths[0]
        for number, width in enumerate(_WIDTHS):
            skipped = int(timed == width)  # the timestamps come first among the columns of their width
            if self._counts[number] > skipped:
                planes = self._planes(number)[:, skipped:]
                steps = np.ascontiguousarray(planes.transpose(1, 2, 0)).view(f"<u{width}")[:, :, 0]
                numbers[width_of == width, 1:] = steps
        steps = numbers[:, 1:]
        odd = -(steps & _ONE)
        steps >>= _ONE
        steps ^= odd
        integers = np.cumsum(numbers.view(np.int64), axis=1)
        scale_of = scales[changing]
        values = integers.astype(np.float64)
        for scale in np.unique(scale_of).tolist():
            if scale == _BITS:
                values[scale_of == scale] = integers[scale_of == scale].view(np.float64)
            elif scale:
                values[scale_of == scale] /= SCALES[scale]
        whole = out if list(columns) == list(range(len(widths))) else np.empty((self._rows, len(widths)))
        whole[:] = firsts.view(np.float64)
        whole[:, changing] = values.T
        if whole is not out:
            out[:] = whole[:, list(columns)]

    def _firsts(self) -> Integers:
        start, columns = _STEP_BYTES + 2 * self._columns, self._columns
        planes = np.frombuffer(self._data, dtype=np.uint8, count=8 * columns, offset=start)
        return np.ascontiguousarray(planes.reshape(8, columns).T).view("<i8")[:, 0].astype(np.int64)

    def _planes(self, number: int) -> NDArray[np.uint8]:
        """The bytes of all differences of one width: [bytes, columns, rows - 1]."""
        start, width, count = self._starts[number], _WIDTHS[number], self._counts[number]
        found = np.frombuffer(self._data, dtype=np.uint8, count=width * count * (self._rows - 1), offset=start)
        return found.reshape(width, count, self._rows - 1)

    def _integers(self, place: int) -> Integers:
        start = _STEP_BYTES + 2 * self._columns + place
        end = _STEP_BYTES + 10 * self._columns
        first = int.from_bytes(self._data[start : end : self._columns], "little", signed=True)
        width = self._widths[place]
        if not width:
            return np.full(self._rows, first)
        number = _WIDTHS.index(width)
        planes = self._planes(number)[:, self._widths[:place].count(width)]
        steps = planes[0] if width == 1 else np.ascontiguousarray(planes.T).view(f"<u{width}")[:, 0]
        numbers = np.empty(self._rows, dtype=np.uint64)
        numbers[0] = first & _MASK
        tail = numbers[1:]
        np.bitwise_and(steps, 1, out=tail)
        np.negative(tail, out=tail)
        tail ^= steps.astype(np.uint64) >> _ONE
        return np.cumsum(numbers.view(np.int64))


def _to_integers(columns: Floats, out: Integers) -> NDArray[np.uint8]:
    """Write the integers of `columns` [columns, rows] to `out`; returns their scales."""
    scales = np.full(len(columns), _BITS, dtype=np.uint8)
    left = np.arange(len(columns))
    tried = columns
    with np.errstate(over="ignore", invalid="ignore"):
        for number in _TRIED:
            if not len(left):
                return scales
            scale = SCALES[number]
            numbers = np.rint(tried * scale) if number else np.rint(tried)
            numbers += 0.0  # of −0.0 it makes 0.0
            back = numbers / scale if number else numbers
            good = (back.view(np.int64) == tried.view(np.int64)).all(axis=1)
            good &= np.abs(numbers).max(axis=1) < LARGEST
            if good.any():
                chosen = left[good]
                scales[chosen] = number
                out[chosen] = numbers[good]
                left, tried = left[~good], tried[~good]
    out[left] = tried.view(np.int64)
    return scales


def _planes(numbers: NDArray[np.generic], width: int) -> bytes:
    """The `width` lowest bytes of numbers of 64 bits: first all lowest ones."""
    return numbers.astype(f"<u{width}").reshape(-1, 1).view(np.uint8).T.tobytes()
