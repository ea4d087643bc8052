"""The format of a rollup chunk: intervals of one host and one catalogue. Pure functions.

The container is that of every chunk: slice 0 is the intervals' starts, slice 1 what all series share (rows, time of the
last row, milliseconds covered), then one slice for each series of the catalogue (`rollup_columns`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from cybercorp.store.timeseries.encoding.chunks import ChunkReader, DamagedChunkError, Owner, Read, pack_chunk
from cybercorp.store.timeseries.encoding.integer_columns import decode_integers, encode_integers
from cybercorp.store.timeseries.encoding.rollup_columns import (
    NO_VALUES,
    RowNumbers,
    SeriesIntervals,
    decode_series,
    decode_whole,
    encode_group,
)
from cybercorp.store.timeseries.encoding.rollup_whole import Whole
from cybercorp.store.timeseries.reading.intervals import Intervals
from cybercorp.store.timeseries.rows import Integers

SHARED_SLICES = 2
_LENGTHS = struct.Struct("<III")


def encode_rollup(kind: int, owner: Owner, intervals: Intervals, places: Sequence[int | None], step_ms: int) -> bytes:
    """A chunk; series i of the catalogue is column `places[i]` of the intervals, None for one that has no value."""
    shared = shared_numbers(intervals)
    chosen = {number: place for number, place in enumerate(places) if place is not None}
    made = encode_columns(intervals, shared, chosen)
    columns = [made.get(number, NO_VALUES) for number in range(len(places))]
    return join_rollup(kind, owner, intervals, shared, columns, step_ms)


def shared_numbers(intervals: Intervals) -> RowNumbers:
    """What all series share: rows, and the milliseconds that most counters have."""
    elapsed = np.zeros(len(intervals.starts), dtype=np.int64)
    known = ~np.isnan(intervals.elapsed).all(axis=1)
    if known.any():
        elapsed[known] = np.nanmax(intervals.elapsed[known], axis=1).astype(np.int64)
    return RowNumbers(intervals.rows, elapsed)


def encode_columns(intervals: Intervals, shared: RowNumbers, places: Mapping[int, int]) -> dict[int, bytes]:
    """Slices of one chunk: series n of the catalogue is column `places[n]` of the intervals."""
    group = {
        number: SeriesIntervals(*(np.ascontiguousarray(one[:, place]) for one in intervals[3:]))
        for number, place in places.items()
    }
    return encode_group(group, shared)


def join_rollup(
    kind: int, owner: Owner, intervals: Intervals, shared: RowNumbers, columns: Sequence[bytes], step_ms: int
) -> bytes:
    """A chunk of slices that were made before, one for each series of the catalogue."""
    numbers = [encode_integers(one) for one in (shared.rows, intervals.last_at - intervals.starts, shared.elapsed)]
    common = b"".join((_LENGTHS.pack(*map(len, numbers)), *numbers))
    steps = encode_integers(intervals.starts // step_ms)
    return pack_chunk(kind, owner, len(intervals.starts), [steps, common, *columns])


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
        self._wholes: dict[int, Whole] = {}

    def read(
        self,
        columns: Iterable[tuple[int, int]],
        width: int,
        damaged: Callable[[int, DamagedChunkError], None] | None = None,
    ) -> Intervals:
        """Intervals of `width` series: number n of the catalogue becomes column c for each `(n, c)`.

        A damaged series is told to `damaged` and has no values; without it the error is raised.
        """
        size = len(self.starts)
        arrays = [np.full((size, width), np.nan) for _ in SeriesIntervals._fields]
        arrays[0][:] = arrays[1][:] = 0.0
        for number, column in columns:
            try:
                found = decode_series(self._chunk.slice_bytes(number + SHARED_SLICES), self._shared, self._whole)
            except DamagedChunkError as error:
                if damaged is None:
                    raise
                damaged(number, error)
                continue
            for into, values in zip(arrays, found, strict=True):
                into[:, column] = values
        return Intervals(self.starts, self._shared.rows, self.last_at, *arrays)

    def _whole(self, number: int) -> Whole:
        found = self._wholes.get(number)
        if found is None:
            data = self._chunk.slice_bytes(number + SHARED_SLICES)
            found = self._wholes[number] = decode_whole(data, self._shared)
        return found
