"""The format of a rollup chunk: intervals of one host and one catalogue. Pure functions.

The container is that of every chunk: slice 0 is the intervals' starts, slice 1 what all series share (rows, time of the
last row, milliseconds covered), then one slice for each series of the catalogue (`rollup_columns`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

import numpy as np

from cybercorp.store.timeseries.chunks import ChunkReader, DamagedChunkError, Owner, Read, pack_chunk
from cybercorp.store.timeseries.intervals import Intervals
from cybercorp.store.timeseries.rollup_columns import (
    RowNumbers,
    SeriesIntervals,
    decode_integers,
    decode_series,
    encode_integers,
    encode_series,
)
from cybercorp.store.timeseries.rows import Integers

MINUTES, HOURS = 3, 4
SHARED_SLICES = 2
_LENGTHS = struct.Struct("<III")


def encode_rollup(kind: int, owner: Owner, intervals: Intervals, places: Sequence[int | None], step_ms: int) -> bytes:
    """A chunk; series i of the catalogue is column `places[i]` of the intervals, None for one that has no value."""
    steps = intervals.starts // step_ms
    shared = RowNumbers(intervals.rows, _shared_elapsed(intervals))
    numbers = [encode_integers(one) for one in (shared.rows, intervals.last_at - intervals.starts, shared.elapsed)]
    slices = [encode_integers(steps), b"".join((_LENGTHS.pack(*map(len, numbers)), *numbers))]
    empty = encode_series(_no_values(len(steps)), shared)
    for place in places:
        if place is None:
            slices.append(empty)
            continue
        columns = (np.ascontiguousarray(one[:, place]) for one in intervals[3:])
        slices.append(encode_series(SeriesIntervals(*columns), shared))
    return pack_chunk(kind, owner, len(steps), slices)


class RollupReader:
    """Reads one rollup chunk through `read(offset, length)`. Every method raises DamagedChunkError."""

    def __init__(self, read: Read, kind: int, owner: Owner, width: int, step_ms: int) -> None:
        """What the index says: kind, whose it is, how many series the catalogue has; `step_ms` is the tier's."""
        self._chunk = ChunkReader(read, owner, width + SHARED_SLICES)
        if self._chunk.kind != kind:
            raise DamagedChunkError(f"it is of kind {self._chunk.kind}")
        self.starts: Integers = decode_integers(self._chunk.slice_bytes(0), self._chunk.rows) * step_ms
        data = self._chunk.slice_bytes(1)
        parts, at = [], _LENGTHS.size
        for length in _LENGTHS.unpack_from(data):
            parts.append(decode_integers(data[at : at + length], self._chunk.rows))
            at += length
        rows, offsets, elapsed = parts
        self.last_at: Integers = self.starts + offsets
        self._shared = RowNumbers(rows, elapsed)

    def read(self, columns: Iterable[tuple[int, int]], width: int) -> Intervals:
        """Intervals of `width` series: number n of the catalogue becomes column c for each `(n, c)`."""
        size = len(self.starts)
        arrays = [np.full((size, width), np.nan) for _ in SeriesIntervals._fields]
        arrays[0][:] = arrays[1][:] = 0.0
        for number, column in columns:
            for into, values in zip(
                arrays, decode_series(self._chunk.slice_bytes(number + SHARED_SLICES), self._shared), strict=True
            ):
                into[:, column] = values
        return Intervals(self.starts, self._shared.rows, self.last_at, *arrays)


def _shared_elapsed(intervals: Intervals) -> Integers:
    """The milliseconds that most counters have."""
    known = ~np.isnan(intervals.elapsed).all(axis=1)
    found = np.zeros(len(intervals.starts), dtype=np.int64)
    if known.any():
        found[known] = np.nanmax(intervals.elapsed[known], axis=1).astype(np.int64)
    return found


def _no_values(size: int) -> SeriesIntervals:
    zero, none = np.zeros(size), np.full(size, np.nan)
    return SeriesIntervals(zero, zero, none, none, none, none, none)
