"""Recent values of series that were asked for before: decoded once, kept in memory, brought up to date by each query.

A panel belongs to the selectors of a query, a track to one host in it. A track holds every row that arrived from
`from_ms` on, in order of arrival: those of sealed blocks first, then unsealed ones. Blocks are numbered in order of
arrival, which merging keeps, so a track knows which of them it has seen.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.protocol.metrics import MetricSelector, Series
from cybercorp.store.timeseries.aggregations import is_increasing
from cybercorp.store.timeseries.head import Packed, Part, RowTuple
from cybercorp.store.timeseries.log import head_rows, read_ahead
from cybercorp.store.timeseries.reading import head_columns
from cybercorp.store.timeseries.rows import MAX_TIMESTAMP_MS, Floats, Integers
from cybercorp.store.timeseries.state import Catalogues, HeadRow, HostState, State
from cybercorp.store.timeseries.storage import ChunkEntry

_SLACK_ROWS = 8192

Chosen = tuple[MetricSelector, ...]


class Column(NamedTuple):
    """A series that a selector matches: its place in a catalogue, its canonical key, itself."""

    place: int
    key: str
    series: Series


class Piece(NamedTuple):
    """Rows of one chunk: `values` [columns, rows] in the order of the catalogue's columns."""

    catalogue: int
    timestamps: Integers
    values: Floats


ReadPiece = Callable[[ChunkEntry, Sequence[Column]], Piece | None]


class Track:
    """One host's rows. The first `sealed` of them came from blocks before `block`; `batch` is the newest it has seen.

    `waiting` has the log entry of each row that is not sealed.
    """

    __slots__ = (
        "batch",
        "block",
        "columns",
        "first_ms",
        "from_ms",
        "increasing",
        "last_ms",
        "owner",
        "rows",
        "sealed",
        "seen",
        "times",
        "values",
        "waiting",
    )

    def __init__(self, owner: HostState, from_ms: int) -> None:
        self.owner = owner
        self.from_ms = from_ms
        self.columns: dict[str, Series] = {}
        self.seen: dict[str, tuple[int, int]] = {}  # when a catalogue had the series: first and last
        self.block = 0
        self.batch = 0
        self.rows = self.sealed = 0
        self.waiting: list[int] = []
        self.increasing = True
        self.first_ms = self.last_ms = 0  # of a track that is `increasing`
        self.times: Integers = np.empty(0, dtype=np.int64)
        self.values: Floats = np.empty((0, 0))

    @property
    def size_bytes(self) -> int:
        return self.times.nbytes + self.values.nbytes

    def between(self, start_ms: int, end_ms: int) -> tuple[Integers, Floats]:
        """Rows of `[start_ms, end_ms)` (of a track that is not `increasing`: all): [rows], [columns, rows]."""
        low, high = 0, self.rows
        if self.increasing and high:
            if self.first_ms < start_ms:
                low = int(self.times[:high].searchsorted(start_ms))
            if self.last_ms >= end_ms:
                high = int(self.times[:high].searchsorted(end_ms))
        return self.times[low:high], self.values[:, low:high]

    def append(self, timestamps: Integers, values: Floats) -> None:
        """Rows that arrived: [rows], [columns, rows]."""
        count = len(timestamps)
        end = self.rows + count
        if end > len(self.times) or len(self.values) != len(self.columns):
            room = max(64, end + end // 4)
            times, held = np.empty(room, dtype=np.int64), np.empty((len(self.columns), room))
            times[: self.rows] = self.times[: self.rows]
            held[: len(self.values), : self.rows] = self.values[:, : self.rows]
            self.times, self.values = times, held
        self.times[self.rows : end] = timestamps
        self.values[:, self.rows : end] = values
        if count and self.increasing:
            first = int(timestamps[0])
            if not self.rows:
                self.first_ms = first
            self.increasing = (not self.rows or first > self.last_ms) and is_increasing(timestamps)
            self.last_ms = int(timestamps[-1])
        self.rows = end

    def cut(self) -> None:
        """Forget the rows that are not sealed: they come again with the blocks."""
        self.rows, self.waiting = self.sealed, []
        if self.rows:
            self.last_ms = int(self.times[self.rows - 1])

    def trim(self, start_ms: int) -> None:
        """Forget sealed rows before `start_ms`, when they are the larger part by far."""
        if not self.increasing or self.rows < _SLACK_ROWS:
            return
        gone = min(int(self.times[: self.rows].searchsorted(start_ms)), self.sealed)
        if gone > 7 * (self.rows - gone) + _SLACK_ROWS:
            self.times = self.times[gone : self.rows].copy()
            self.values = self.values[:, gone : self.rows].copy()
            self.rows -= gone
            self.sealed -= gone
            self.first_ms = int(self.times[0]) if self.rows else 0
            self.from_ms = start_ms


class _News(NamedTuple):
    """What a host has that its track has not: chunks to read, unsealed rows after `after`, and where that leads to."""

    host: int
    owner: HostState
    track: Track | None
    entries: list[ChunkEntry]
    parts: list[Part]
    tail: list[RowTuple]
    after: int
    block: int
    batch: int


class Panel:
    """The tracks of the hosts for one set of selectors. `lock` is held by whoever uses it."""

    def __init__(self, chosen: Chosen) -> None:
        self.lock = threading.Lock()
        self.chosen = chosen
        self._catalogues: Catalogues | None = None
        self._columns: dict[int, list[Column]] = {}
        self._tracks: dict[int, Track] = {}
        self.size_bytes = 0

    def columns_of(self, state: State, number: int) -> list[Column]:
        """The chosen series of a catalogue."""
        found = self._columns.get(number)
        if found is None:
            with state.lock:
                series = state.catalogues.series(number)
            found = self._columns[number] = matching(series, self.chosen)
        return found

    def refresh(self, state: State, hosts: Sequence[int], from_ms: int, read: ReadPiece) -> dict[int, Track]:
        """The tracks of these hosts, holding all that has arrived of `[from_ms, ∞)`.

        Raises ChunkGoneError; what was brought up to date before stays so.
        """
        with state.lock:
            news = [one for host in hosts if (one := self._news(state, host, from_ms)) is not None]
        tracks = self._tracks
        least_ms = min([from_ms, *(one.track.from_ms for one in news if one.track)])
        for one in read_ahead(state.log, news, lambda one: one.parts, least_ms, MAX_TIMESTAMP_MS):
            tracks[one.host] = self._updated(state, one, from_ms, read)
        if news:
            self.size_bytes = sum(track.size_bytes for track in tracks.values())
        return {host: tracks[host] for host in hosts if host in tracks}

    def prepare(self, state: State) -> None:
        """Before anything else: forget what belongs to another state."""
        if state.catalogues is not self._catalogues:  # the store was opened anew: numbers may mean others now
            self._catalogues = state.catalogues
            self._columns.clear()
            self._tracks.clear()
            self.size_bytes = 0

    def trim(self, start_ms: int) -> None:
        """Forget what is much older than what was asked for."""
        for track in self._tracks.values():
            track.trim(start_ms)

    def _news(self, state: State, host: int, from_ms: int) -> _News | None:
        owner = state.hosts.get(host)
        if owner is None:
            self._tracks.pop(host, None)
            return None
        index = owner.samples
        track = self._tracks.get(host)
        batch = newest_of(owner)
        if track is None or track.owner is not owner or track.from_ms > from_ms:
            return self._whole(owner, from_ms, batch)
        block = index.next_block
        if block == track.block:
            return None if batch <= track.batch else _news_of(owner, track, [], track.batch, block, batch)
        if owner.sealed <= track.batch:  # sealed since, but seen before
            known = bisect_right(track.waiting, owner.sealed)
            del track.waiting[:known]
            track.sealed, track.block = track.sealed + known, block
            return None if batch <= track.batch else _news_of(owner, track, [], track.batch, block, batch)
        entries = [one for one in index.between(track.from_ms, MAX_TIMESTAMP_MS) if one.last >= track.block]
        if any(one.first < track.block for one in entries):  # merged with blocks that were seen
            return self._whole(owner, from_ms, batch)
        return _news_of(owner, track, entries, owner.sealed, block, batch)

    @staticmethod
    def _whole(owner: HostState, from_ms: int, batch: int) -> _News:
        entries = owner.samples.between(from_ms, MAX_TIMESTAMP_MS)
        return _news_of(owner, None, entries, -1, owner.samples.next_block, batch)

    def _updated(self, state: State, news: _News, from_ms: int, read: ReadPiece) -> Track:
        track = news.track or Track(news.owner, from_ms)
        rows = _rows_of(state, news, track.from_ms)
        numbers = dict.fromkeys([one.catalogue for one in news.entries] + [row.catalogue for row in rows])
        wanted = {one.key: one.series for number in numbers for one in self.columns_of(state, number)}
        pieces = [piece for one in news.entries if (piece := read(one, self.columns_of(state, one.catalogue)))]
        if news.block != track.block:  # what waited comes again with the blocks
            track.cut()
        if not wanted.keys() <= track.columns.keys():
            track = _widened(track, wanted)
        self._append(state, track, pieces)
        if news.block != track.block:
            track.block, track.sealed = news.block, track.rows
        self._append(state, track, head_pieces(rows, lambda number: self.columns_of(state, number)))
        track.waiting.extend(row.batch for row in rows)
        track.batch = max(news.batch, track.batch)
        return track

    def _append(self, state: State, track: Track, pieces: Sequence[Piece]) -> None:
        places = {key: place for place, key in enumerate(track.columns)}
        rows = sum(len(piece.timestamps) for piece in pieces)
        if not rows:
            return
        values = np.full((len(places), rows), np.nan)
        at = 0
        for piece in pieces:
            here = slice(at, at + len(piece.timestamps))
            first, last = int(piece.timestamps.min()), int(piece.timestamps.max())
            for column, row in zip(self.columns_of(state, piece.catalogue), piece.values, strict=True):
                values[places[column.key], here] = row
                known = track.seen.get(column.key)
                track.seen[column.key] = (min(first, known[0]), max(last, known[1])) if known else (first, last)
            at = here.stop
        track.append(np.concatenate([piece.timestamps for piece in pieces]), values)


class Panels:
    """The panels that were used last, within a number of bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._panels: dict[Chosen, Panel] = {}

    def fits(self, rows: int, columns: int) -> bool:
        """Whether so many rows of so many values are worth to be kept."""
        return rows * (columns + 1) * 8 <= self._limit_bytes

    def panel(self, chosen: Chosen) -> Panel:
        """The panel of these selectors, the newest from now on."""
        with self._lock:
            found = self._panels.pop(chosen, None) or Panel(chosen)
            self._panels[chosen] = found
            return found

    def shrink(self) -> None:
        """Forget the panels that were not used for longest, until the rest fits."""
        with self._lock:
            total = sum(panel.size_bytes for panel in self._panels.values())
            while total > self._limit_bytes and self._panels:
                total -= self._panels.pop(next(iter(self._panels))).size_bytes


def matching(series: Sequence[Series], selectors: Sequence[MetricSelector]) -> list[Column]:
    """The series of a catalogue that one of the selectors means."""
    return [
        Column(place, one.key, one)
        for place, one in enumerate(series)
        if any(selector.matches(one) for selector in selectors)
    ]


def head_pieces(head: Sequence[HeadRow], columns_of: Callable[[int], Sequence[Column]]) -> list[Piece]:
    """Unsealed rows, cut where the catalogue changes."""
    pieces = []
    at = 0
    while at < len(head):
        number, start = head[at].catalogue, at
        while at < len(head) and head[at].catalogue == number:
            at += 1
        rows = head[start:at]
        timestamps = np.array([row.timestamp_ms for row in rows], dtype=np.int64)
        pieces.append(Piece(number, timestamps, head_columns(rows, [one.place for one in columns_of(number)])))
    return pieces


def _news_of(
    owner: HostState, track: Track | None, entries: list[ChunkEntry], after: int, block: int, batch: int
) -> _News:
    tail, parts = owner.head.tail, owner.head.parts
    at = len(tail)
    while at and tail[at - 1][0] > after:
        at -= 1
    newer = [] if at else [part for part in parts if last_of(part) > after]
    return _News(owner.host, owner, track, entries, newer, tail[at:], after, block, batch)


def _rows_of(state: State, news: _News, from_ms: int) -> list[HeadRow]:
    """The unsealed rows of samples that are new, from `from_ms` on."""
    rows = head_rows(state.log, news.parts, news.tail, from_ms, MAX_TIMESTAMP_MS, samples=True)
    return [row for row in rows if row.batch > news.after] if news.parts else rows


def newest_of(owner: HostState) -> int:
    """The last log entry with rows of this host."""
    head = owner.head
    if head.tail:
        return head.tail[-1][0]
    return last_of(head.parts[-1]) if head.parts else owner.sealed


def last_of(part: Part) -> int:
    """The newest log entry with rows of a part of a head."""
    return part.last if isinstance(part, Packed) else int(part.entries[-1])


def _widened(track: Track, wanted: dict[str, Series]) -> Track:
    """The same rows with room for more series."""
    made = Track(track.owner, track.from_ms)
    made.columns = {**track.columns, **wanted}
    held = np.full((len(made.columns), track.rows), np.nan)
    held[: len(track.columns)] = track.values[: len(track.columns), : track.rows]
    made.append(track.times[: track.rows], held)
    made.block, made.batch, made.sealed, made.waiting = track.block, track.batch, track.sealed, track.waiting
    made.increasing, made.seen = track.increasing, track.seen
    made.first_ms, made.last_ms = track.first_ms, track.last_ms
    return made
