"""What was the case at an instant: a row, a process table, a catalogue; and the last row that arrived."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from cybercorp.protocol.decoding import UNREADABLE
from cybercorp.protocol.metrics import Catalogue
from cybercorp.protocol.processes import ProcessChanges, ProcessTable
from cybercorp.store.timeseries.encoding.chunks import PROCESSES, SAMPLES, ChunkReader, DamagedChunkError
from cybercorp.store.timeseries.encoding.process_tables import changes_of
from cybercorp.store.timeseries.log.unsealed import last_samples
from cybercorp.store.timeseries.reading.pictures import look, slices_of, tables_of, take_picture
from cybercorp.store.timeseries.rows import Integers, LatestRow
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import HeadRow, State
from cybercorp.store.timeseries.storage.contract import ChunkEntry

_END_OF_TIME_MS = 1 << 62


class _Place(NamedTuple):
    """Where a row is: in a chunk, at a position."""

    timestamp_ms: int
    entry: ChunkEntry
    position: int


class Instants:
    def __init__(self, session: Session) -> None:
        self._session = session

    def row_at(self, host: int, at_ms: int, within_ms: int) -> LatestRow | None:
        """The newest row of samples at or before `at_ms`, at most `within_ms` older."""
        return look(self._session, lambda state: self._row_at(state, host, at_ms, within_ms))

    def processes_at(self, host: int, at_ms: int, within_ms: int) -> ProcessTable | None:
        """The newest recorded process table at or before `at_ms`, at most `within_ms` older."""
        body = look(self._session, lambda state: self._processes_at(state, host, at_ms, within_ms))
        if body is None:
            return None
        try:
            return msgspec.msgpack.decode(body, type=ProcessTable)
        except UNREADABLE:
            return None  # stored as its agent sent it

    def nearest_processes(self, host: int, at_ms: int) -> tuple[int | None, int | None]:
        """When the last process table at or before `at_ms`, and the first after it, were recorded."""
        return look(self._session, lambda state: self._nearest_processes(state, host, at_ms))

    def process_changes(self, host: int, start_ms: int, end_ms: int) -> list[tuple[int, ProcessChanges]]:
        """Starts and exits told by the tables of `[start_ms, end_ms)`, with each table's time, in order."""
        return look(self._session, lambda state: self._process_changes(state, host, start_ms, end_ms))

    def latest(self, host: int) -> LatestRow | None:
        """The row of samples that arrived last."""
        return look(self._session, lambda state: self._latest(state, host))

    def catalogue_at(self, host: int, at_ms: int | None) -> Catalogue | None:
        """The catalogue of the newest row at or before `at_ms`; of the last row where no time is given."""
        state = self._session.state
        with state.lock:
            known = state.hosts.get(host)
            if known is None:
                return None
            unsealed = known.head.catalogue_at(at_ms)
            if at_ms is None:
                newest = known.samples.newest
                number = unsealed[1] if unsealed else newest.catalogue if newest else None
            else:
                times = [(min(one.end_ms, at_ms), one.catalogue) for one in known.samples if one.start_ms <= at_ms]
                times += [unsealed] if unsealed else []
                number = max(reversed(times), default=(0, None), key=lambda one: one[0])[1]
            return state.catalogues.catalogue(number) if number is not None else None

    def _row_at(self, state: State, host: int, at_ms: int, within_ms: int) -> LatestRow | None:
        found = self._find(state, host, SAMPLES, at_ms, within_ms)
        if isinstance(found, HeadRow):
            return LatestRow(found.timestamp_ms, _id_of(state, found.catalogue), found.body)
        return self._row_of(state, found.entry, found.position) if found else None

    def _processes_at(self, state: State, host: int, at_ms: int, within_ms: int) -> bytes | None:
        found = self._find(state, host, PROCESSES, at_ms, within_ms)
        if found is None or isinstance(found, HeadRow):
            return found.body if found else None
        with self._session.storage.reader() as bodies:
            try:
                with bodies.open(found.entry.id) as read:
                    return tables_of(self._session, found.entry, read).body(found.position)
            except DamagedChunkError as error:
                self._session.note_damage(state, found.entry, -1, str(error))
                return None

    def _nearest_processes(self, state: State, host: int, at_ms: int) -> tuple[int | None, int | None]:
        picture = take_picture(state, host, PROCESSES, 0, _END_OF_TIME_MS)
        times = [row.timestamp_ms for row in picture.head]
        with self._session.storage.reader() as bodies:
            for entry in picture.entries:
                if not entry.start_ms <= at_ms < entry.end_ms:
                    times += (entry.start_ms, entry.end_ms)
                    continue
                try:
                    with bodies.open(entry.id) as read:
                        times += ChunkReader(slices_of(entry, read, 1), entry.owner, 3).timestamps().tolist()
                except DamagedChunkError as error:
                    self._session.note_damage(state, entry, -1, str(error))
        before = max((one for one in times if one <= at_ms), default=None)
        return before, min((one for one in times if one > at_ms), default=None)

    def _process_changes(self, state: State, host: int, start_ms: int, end_ms: int) -> list[tuple[int, ProcessChanges]]:
        picture = take_picture(state, host, PROCESSES, start_ms, end_ms)
        found: list[tuple[int, ProcessChanges]] = []
        with self._session.storage.reader() as bodies:
            for entry in picture.entries:
                try:
                    with bodies.open(entry.id) as read:
                        chunk = tables_of(self._session, entry, read)
                        times = chunk.timestamps().tolist()
                        found += [(times[number], changes) for number, changes in chunk.changes()]
                except DamagedChunkError as error:
                    self._session.note_damage(state, entry, -1, str(error))
        for row in picture.head:
            found += [(row.timestamp_ms, changes) for _, changes in changes_of([row.body])]
        return sorted((one for one in found if start_ms <= one[0] < end_ms), key=lambda one: one[0])

    def _find(self, state: State, host: int, kind: int, at_ms: int, within_ms: int) -> HeadRow | _Place | None:
        """The newest row in `[at_ms - within_ms, at_ms]`; of equal timestamps the one that arrived last."""
        from_ms = at_ms - within_ms
        picture = take_picture(state, host, kind, from_ms, at_ms + 1)
        unsealed = max(reversed(picture.head), key=lambda row: row.timestamp_ms, default=None)
        newest = unsealed.timestamp_ms if unsealed else from_ms - 1
        best: _Place | None = None
        with self._session.storage.reader() as bodies:
            for entry in sorted(picture.entries, key=lambda one: one.end_ms, reverse=True):
                reach = min(entry.end_ms, at_ms)
                if reach < newest or (reach == newest and best is None):
                    break
                width = self._width(state, entry)
                try:
                    with bodies.open(entry.id) as read:
                        timestamps = ChunkReader(slices_of(entry, read, 1), entry.owner, width + 1).timestamps()
                except DamagedChunkError as error:
                    self._session.note_damage(state, entry, -1, str(error))
                    continue
                place = _place_of(timestamps, entry, from_ms, at_ms)
                later = best is not None and place is not None and entry.first > best.entry.first
                if place and (place.timestamp_ms > newest or (place.timestamp_ms == newest and later)):
                    best, newest = place, place.timestamp_ms
        return best or unsealed

    def _latest(self, state: State, host: int) -> LatestRow | None:
        with state.lock:
            known = state.hosts.get(host)
            if known is None or known.last is not None:
                return state.latest_of(known.last) if known and known.last else None
            if known.latest is not None:
                return known.latest
            newest = known.samples.newest
            parts, _ = known.head.picture()
        unsealed = last_samples(state.log, parts)
        if unsealed is not None:
            found: LatestRow | None = LatestRow(unsealed.timestamp_ms, _id_of(state, unsealed.catalogue), unsealed.body)
        elif newest is not None:
            found = self._row_of(state, newest, newest.rows - 1)
        else:
            return None
        with state.lock:
            if known.latest is None:
                known.latest = found
            return known.latest

    def _row_of(self, state: State, entry: ChunkEntry, position: int) -> LatestRow | None:
        """A row of a chunk, put together again; a damaged series is NaN."""
        width = self._width(state, entry)
        with self._session.storage.reader() as bodies:
            try:
                with bodies.open(entry.id) as read:
                    chunk = ChunkReader(slices_of(entry, read, width), entry.owner, width + 1)
                    timestamp = int(chunk.timestamps()[position])
                    values = np.full(width, np.nan)
                    for column in range(width):
                        try:
                            values[column] = chunk.column(column)[position]
                        except DamagedChunkError as error:
                            self._session.note_damage(state, entry, column + 1, str(error))
            except DamagedChunkError as error:
                self._session.note_damage(state, entry, -1, str(error))
                return None
        return LatestRow(timestamp, _id_of(state, entry.catalogue), values.tobytes())

    @staticmethod
    def _width(state: State, entry: ChunkEntry) -> int:
        return state.catalogues.widths[entry.catalogue] if entry.kind == SAMPLES else 2


def _place_of(timestamps: Integers, entry: ChunkEntry, from_ms: int, at_ms: int) -> _Place | None:
    """The newest timestamp in `[from_ms, at_ms]`; of equal ones the last to arrive."""
    inside = np.where((timestamps >= from_ms) & (timestamps <= at_ms), timestamps, -1)
    position = len(inside) - 1 - int(np.argmax(inside[::-1]))
    return _Place(int(inside[position]), entry, position) if inside[position] >= 0 else None


def _id_of(state: State, number: int) -> str:
    with state.lock:
        return state.catalogues.row(number).id
