"""Intervals of a tier that were asked for before: kept, and only what arrived since is read.

As long as everything that arrives is newer than what is kept, intervals before the newest row stay as they are. Late
rows, a clock that was set back, another series: then all is read again.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cybercorp.protocol.metrics import Series
from cybercorp.store.timeseries.log.head import Packed
from cybercorp.store.timeseries.reading.intervals import Intervals
from cybercorp.store.timeseries.reading.tracks import Chosen, last_of, newest_of
from cybercorp.store.timeseries.state import HostState, State

_INTERVAL_BYTES = 80

Key = tuple[Chosen, int, int]  # selectors, host, length of an interval
ReadIntervals = Callable[[Sequence[str], int, int], Intervals]
SeriesOf = Callable[[int, int], dict[str, Series]]


class IntervalTrack:
    """The intervals of one host from `from_ms` on, for `series`; `block` and `batch` are the newest that were seen."""

    __slots__ = ("batch", "block", "from_ms", "intervals", "newest_ms", "owner", "series")

    def __init__(self, owner: HostState, from_ms: int, block: int, batch: int) -> None:
        self.owner = owner
        self.from_ms = from_ms
        self.block = block
        self.batch = batch
        self.series: dict[str, Series] = {}
        self.newest_ms = -1
        self.intervals: Intervals | None = None

    @property
    def size_bytes(self) -> int:
        return sum(one.nbytes for one in self.intervals) if self.intervals is not None else 0

    def hold(self, intervals: Intervals) -> None:
        """These are all of them."""
        self.intervals = intervals
        self.newest_ms = int(intervals.last_at.max()) if len(intervals.last_at) else -1

    def of(self, start_ms: int, end_ms: int) -> tuple[dict[str, Series], Intervals]:
        """The intervals that begin in `[start_ms, end_ms)`, and the series that have values there."""
        intervals = self.intervals
        assert intervals is not None
        low, high = intervals.starts.searchsorted([start_ms, end_ms]).tolist()
        inside: list[Any] = [column[low:high] for column in intervals]
        found = Intervals(*inside)
        has: list[bool] = np.any(found.counts, axis=0).tolist()
        if all(has):
            return self.series, found
        kept = [place for place, one in enumerate(has) if one]
        every = list(self.series.items())
        narrow: list[Any] = [column if column.ndim == 1 else column[:, kept] for column in found]
        return dict(every[place] for place in kept), Intervals(*narrow)


class IntervalTracks:
    """The tracks that were used last, within a number of bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._tracks: OrderedDict[Key, IntervalTrack] = OrderedDict()
        self._size_bytes = 0

    def fits(self, intervals: int, series: int) -> bool:
        """Whether so many intervals of so many series can be kept without pushing most others out."""
        return intervals * series * _INTERVAL_BYTES <= self._limit_bytes // 4

    def find(self, key: Key) -> IntervalTrack | None:
        with self._lock:
            return self._tracks.get(key)

    def keep(self, key: Key, track: IntervalTrack) -> None:
        """This one is the newest from now on; those that were not used for longest go."""
        with self._lock:
            self._tracks[key] = track
            self._tracks.move_to_end(key)
            self._size_bytes = sum(one.size_bytes for one in self._tracks.values())
            while self._size_bytes > self._limit_bytes:
                self._size_bytes -= self._tracks.popitem(last=False)[1].size_bytes


def refreshed(
    state: State,
    host: int,
    track: IntervalTrack | None,
    from_ms: int,
    step_ms: int,
    series_of: SeriesOf,
    read: ReadIntervals,
) -> IntervalTrack | None:
    """The track with all that has arrived of `[from_ms, ∞)`; None where the host is unknown.

    `from_ms` is a multiple of `step_ms`, the length of an interval. Raises ChunkGoneError.
    """
    with state.lock:
        owner = state.hosts.get(host)
        if owner is None:
            return None
        block, batch = owner.samples.next_block, newest_of(owner)
        bounds = owner.bounds()
        known = track if track is not None and track.owner is owner and track.from_ms <= from_ms else None
        if known is not None and (known.block, known.batch) == (block, batch):
            return known
        later = known is not None and _news_begin(known, owner) > known.newest_ms
    until_ms = (max(bounds[1], from_ms) // step_ms + 1) * step_ms if bounds else from_ms + step_ms
    if known is not None and later and known.intervals is not None and known.newest_ms >= 0:
        begin_ms = max(known.newest_ms // step_ms * step_ms, known.from_ms)
        if series_of(begin_ms, until_ms).keys() <= known.series.keys():
            fresh = read(list(known.series), begin_ms, until_ms)
            kept = int(known.intervals.starts.searchsorted(begin_ms))
            pairs = zip(known.intervals, fresh, strict=True)
            known.hold(Intervals(*(np.concatenate([old[:kept], new]) for old, new in pairs)))
            known.block, known.batch = block, batch
            return known
    made = IntervalTrack(owner, from_ms, block, batch)
    made.series = series_of(from_ms, until_ms)
    made.hold(read(list(made.series), from_ms, until_ms))
    return made


def _news_begin(track: IntervalTrack, owner: HostState) -> int:
    """The oldest timestamp among what arrived since."""
    begin = 1 << 62
    if owner.sealed > track.batch:
        begin = min((one.start_ms for one in owner.samples if one.last >= track.block), default=begin)
    for part in owner.head.parts:
        if last_of(part) > track.batch:
            begin = min(begin, part.start_ms if isinstance(part, Packed) else int(part.timestamps.min()))
    for row in reversed(owner.head.tail):
        if row[0] <= track.batch:
            break
        if row[3]:
            begin = min(begin, row[1])
    return begin
