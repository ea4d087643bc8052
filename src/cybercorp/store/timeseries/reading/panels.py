"""Panels: the tracks of many hosts for the selectors of one query, brought up to date by each query.

What is new of a host is what its head and its index have beyond the log entry and the block that its track has seen.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.protocol.metrics import Series
from cybercorp.store.timeseries.log.head import Part, RowTuple
from cybercorp.store.timeseries.log.unsealed import head_rows, read_ahead
from cybercorp.store.timeseries.reading.tracks import (
    Chosen,
    Column,
    Piece,
    Track,
    head_pieces,
    last_of,
    matching,
    newest_of,
)
from cybercorp.store.timeseries.rows import MAX_TIMESTAMP_MS
from cybercorp.store.timeseries.state import Catalogues, HeadRow, HostState, State
from cybercorp.store.timeseries.storage.contract import ChunkEntry

ReadPiece = Callable[[ChunkEntry, Sequence[Column]], Piece | None]


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

    def series_of(self, state: State, numbers: Iterable[int]) -> dict[str, Series]:
        """The chosen series of these catalogues by their keys."""
        return {one.key: one.series for number in numbers for one in self.columns_of(state, number)}

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
