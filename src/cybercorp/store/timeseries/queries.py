"""Reading: series over a range, a row at an instant, process tables. Called by many threads at once.

A query takes a picture of the index and the unsealed rows under the state lock, then reads bodies without it. When a
chunk was merged or dropped in between, it looks again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np

from cybercorp.core.errors import StorageError
from cybercorp.protocol.metrics import Aggregation, Catalogue, MetricSelector, Series
from cybercorp.protocol.processes import ProcessTable
from cybercorp.store.timeseries.aggregations import LOOKBACK_MS, aggregate
from cybercorp.store.timeseries.chunks import PROCESSES, SAMPLES, ChunkReader, DamagedChunkError
from cybercorp.store.timeseries.rows import Floats, Integers, LatestRow, Selection, SeriesResult
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import HeadRow, State
from cybercorp.store.timeseries.storage import ChunkBodies, ChunkEntry, ChunkGoneError

ATTEMPTS = 20
WORKING_VALUES = 1 << 22  # at most so many values of one host are decoded at once
WHOLE_CHUNK_BYTES = 32 * 1024
_Found = TypeVar("_Found")


class _Column(NamedTuple):
    """A series that a selector matches: its place in a catalogue, its canonical key, itself."""

    place: int
    key: str
    series: Series


class _Picture(NamedTuple):
    """What was known of a host at one moment."""

    entries: list[ChunkEntry]
    head: list[HeadRow]


class _Piece(NamedTuple):
    """Rows of one chunk or of the head, in order of arrival: where the values of each column come from."""

    timestamps: Integers
    columns: list[_Column]
    values: Floats  # [rows, columns]


class Queries:
    def __init__(self, session: Session) -> None:
        self._session = session

    def query(
        self,
        selections: Sequence[Selection],
        start_ms: int,
        end_ms: int,
        step_ms: int,
        aggregation: Aggregation,
        quantile: float | None = None,
    ) -> list[SeriesResult]:
        """The matching series of every selected host, in the order of the selections."""
        points = -(-(end_ms - start_ms) // step_ms)
        wanted: dict[int, list[MetricSelector]] = {}
        for one in selections:
            wanted.setdefault(one.host, []).append(one.selector)
        matches: dict[tuple[int, tuple[MetricSelector, ...]], list[_Column]] = {}
        results: list[SeriesResult] = []
        for host, selectors in wanted.items():
            chosen = tuple(dict.fromkeys(selectors))

            def columns_of(number: int, chosen: tuple[MetricSelector, ...] = chosen) -> list[_Column]:
                key = (number, chosen)
                if key not in matches:
                    matches[key] = _matching(self._series(number), chosen)
                return matches[key]

            def answer(
                state: State, host: int = host, columns_of: Callable[[int], list[_Column]] = columns_of
            ) -> list[SeriesResult]:
                return self._query_host(state, host, columns_of, start_ms, step_ms, points, aggregation, quantile)

            results.extend(self._look(answer))
        return results

    def row_at(self, host: int, at_ms: int, within_ms: int) -> LatestRow | None:
        """The newest row of samples at or before `at_ms`, at most `within_ms` older."""
        return self._look(lambda state: self._row_at(state, host, at_ms, within_ms))

    def processes_at(self, host: int, at_ms: int, within_ms: int) -> ProcessTable | None:
        """The newest recorded process table at or before `at_ms`, at most `within_ms` older."""
        body = self._look(lambda state: self._processes_at(state, host, at_ms, within_ms))
        if body is None:
            return None
        try:
            return msgspec.msgpack.decode(body, type=ProcessTable)
        except msgspec.DecodeError:
            return None  # stored as its agent sent it

    def latest(self, host: int) -> LatestRow | None:
        """The row of samples that arrived last."""
        return self._look(lambda state: self._latest(state, host))

    def catalogue_at(self, host: int, at_ms: int | None) -> Catalogue | None:
        """The catalogue of the newest row at or before `at_ms`; of the last row where no time is given."""
        state = self._session.state
        with state.lock:
            known = state.hosts.get(host)
            if known is None:
                return None
            rows = [row for row in known.head if row.catalogue]
            if at_ms is None:
                newest = known.samples.newest
                number = rows[-1].catalogue if rows else newest.catalogue if newest else None
            else:
                times = [(row.timestamp_ms, row.catalogue) for row in rows if row.timestamp_ms <= at_ms]
                times += [(min(one.end_ms, at_ms), one.catalogue) for one in known.samples if one.start_ms <= at_ms]
                number = max(times, default=(0, None), key=lambda one: one[0])[1]
            return state.catalogues.catalogue(number) if number is not None else None

    def _look(self, attempt: Callable[[State], _Found]) -> _Found:
        for _ in range(ATTEMPTS):
            try:
                return attempt(self._session.state)
            except ChunkGoneError:
                continue
        raise StorageError("History changed too often while it was read.", hint="Try again.")

    def _series(self, number: int) -> tuple[Series, ...]:
        state = self._session.state
        with state.lock:
            return state.catalogues.series(number)

    def _picture(self, state: State, host: int, kind: int, start_ms: int, end_ms: int) -> _Picture:
        with state.lock:
            known = state.hosts.get(host)
            if known is None:
                return _Picture([], [])
            head = [
                row
                for row in known.head
                if start_ms <= row.timestamp_ms < end_ms and (row.catalogue != 0) is (kind == SAMPLES)
            ]
            return _Picture(known.index(kind).between(start_ms, end_ms), head)

    def _query_host(
        self,
        state: State,
        host: int,
        columns_of: Callable[[int], list[_Column]],
        start_ms: int,
        step_ms: int,
        points: int,
        aggregation: Aggregation,
        quantile: float | None,
    ) -> list[SeriesResult]:
        end_ms = start_ms + points * step_ms
        from_ms = start_ms - (max(LOOKBACK_MS, step_ms) if aggregation is Aggregation.RATE else 0)
        picture = self._picture(state, host, SAMPLES, from_ms, end_ms)
        inside = {one.catalogue for one in picture.entries if one.end_ms >= start_ms}
        inside |= {row.catalogue for row in picture.head if row.timestamp_ms >= start_ms}
        wanted: dict[str, Series] = {}
        for number in [one.catalogue for one in picture.entries] + [row.catalogue for row in picture.head]:
            if number in inside:
                inside.discard(number)
                wanted.update((column.key, column.series) for column in columns_of(number))
        if not wanted:
            return []
        rows = sum(one.rows for one in picture.entries) + len(picture.head)
        width = max(1, WORKING_VALUES // max(1, rows))
        keys = list(wanted)
        results: list[SeriesResult] = []
        for at in range(0, len(keys), width):
            places = {key: place for place, key in enumerate(keys[at : at + width])}
            timestamps, values = self._gather(state, picture, places, columns_of, from_ms, end_ms)
            found = aggregate(
                timestamps,
                values,
                start_ms=start_ms,
                step_ms=step_ms,
                points=points,
                aggregation=aggregation,
                quantile=quantile,
            )
            results.extend(SeriesResult(host, wanted[key], found[:, place].copy()) for key, place in places.items())
        return results

    def _gather(
        self,
        state: State,
        picture: _Picture,
        places: dict[str, int],
        columns_of: Callable[[int], list[_Column]],
        from_ms: int,
        end_ms: int,
    ) -> tuple[Integers, Floats]:
        """The range in order of arrival, [rows] and [rows, series]; NaN where a row's catalogue lacks the series."""
        pieces: list[_Piece] = []
        with self._session.storage.reader() as bodies:
            for entry in picture.entries:
                columns = [one for one in columns_of(entry.catalogue) if one.key in places]
                piece = self._read_piece(state, bodies, entry, columns)
                if piece is not None:
                    pieces.append(piece)
        pieces.extend(_head_pieces(picture.head, columns_of, places))
        if not pieces:
            return np.empty(0, dtype=np.int64), np.empty((0, len(places)))
        timestamps = np.concatenate([piece.timestamps for piece in pieces])
        values = np.full((len(timestamps), len(places)), np.nan)
        at = 0
        for piece in pieces:
            here = slice(at, at + len(piece.timestamps))
            values[here, [places[column.key] for column in piece.columns]] = piece.values
            at = here.stop
        outside = (timestamps < from_ms) | (timestamps >= end_ms)
        if outside.any():
            timestamps, values = timestamps[~outside], values[~outside]
        return timestamps, values

    def _read_piece(
        self, state: State, bodies: ChunkBodies, entry: ChunkEntry, columns: list[_Column]
    ) -> _Piece | None:
        try:
            with bodies.open(entry.id) as read:
                chunk = ChunkReader(
                    self._cached(entry, read, len(columns)), state.catalogues.widths[entry.catalogue] + 1
                )
                timestamps = chunk.timestamps()
                values = np.full((len(timestamps), len(columns)), np.nan)
                for position, column in enumerate(columns):
                    try:
                        values[:, position] = chunk.column(column.place)
                    except DamagedChunkError as error:
                        self._session.note_damage(state, entry, column.place + 1, str(error))
        except DamagedChunkError as error:
            self._session.note_damage(state, entry, -1, str(error))
            return None
        return _Piece(timestamps, columns, values)

    @staticmethod
    def _cached(entry: ChunkEntry, read: Callable[[int, int], bytes], columns: int) -> Callable[[int, int], bytes]:
        """Small chunks, and those of which much is wanted, are read at once."""
        if entry.size_bytes > WHOLE_CHUNK_BYTES and columns < 24:
            return read
        whole = read(0, entry.size_bytes)
        return lambda offset, length: whole[offset : offset + length]

    def _row_at(self, state: State, host: int, at_ms: int, within_ms: int) -> LatestRow | None:
        picture = self._picture(state, host, SAMPLES, at_ms - within_ms, at_ms + 1)
        best = max(reversed(picture.head), key=lambda row: row.timestamp_ms, default=None)
        found = LatestRow(best.timestamp_ms, _id_of(state, best.catalogue), best.body) if best else None
        for entry in _newest_first(picture.entries):
            if found and min(entry.end_ms, at_ms) <= found.timestamp_ms:
                break
            row = self._row_of(state, entry, found.timestamp_ms + 1 if found else at_ms - within_ms, at_ms)
            found = row or found
        return found

    def _row_of(self, state: State, entry: ChunkEntry, from_ms: int, at_ms: int) -> LatestRow | None:
        """The newest row of a chunk in `[from_ms, at_ms]`, put together again."""
        columns = state.catalogues.widths[entry.catalogue]
        with self._session.storage.reader() as bodies:
            try:
                with bodies.open(entry.id) as read:
                    chunk = ChunkReader(self._cached(entry, read, columns), columns + 1)
                    place = _place_of(chunk.timestamps(), from_ms, at_ms)
                    if place is None:
                        return None
                    values = np.full(columns, np.nan)
                    for column in range(columns):
                        try:
                            values[column] = chunk.column(column)[place]
                        except DamagedChunkError as error:
                            self._session.note_damage(state, entry, column + 1, str(error))
                    timestamp = int(chunk.timestamps()[place])
            except DamagedChunkError as error:
                self._session.note_damage(state, entry, -1, str(error))
                return None
        return LatestRow(timestamp, _id_of(state, entry.catalogue), values.tobytes())

    def _processes_at(self, state: State, host: int, at_ms: int, within_ms: int) -> bytes | None:
        picture = self._picture(state, host, PROCESSES, at_ms - within_ms, at_ms + 1)
        best = max(reversed(picture.head), key=lambda row: row.timestamp_ms, default=None)
        time, body = (best.timestamp_ms, best.body) if best else (at_ms - within_ms - 1, None)
        for entry in _newest_first(picture.entries):
            if min(entry.end_ms, at_ms) <= time:
                break
            with self._session.storage.reader() as bodies:
                try:
                    with bodies.open(entry.id) as read:
                        chunk = ChunkReader(read, 3)
                        timestamps = chunk.timestamps()
                        place = _place_of(timestamps, time + 1, at_ms)
                        if place is not None:
                            time, body = int(timestamps[place]), chunk.bodies()[place]
                except DamagedChunkError as error:
                    self._session.note_damage(state, entry, -1, str(error))
        return body

    def _latest(self, state: State, host: int) -> LatestRow | None:
        with state.lock:
            known = state.hosts.get(host)
            if known is None or known.latest is not None:
                return known.latest if known else None
            newest = known.samples.newest
        if newest is None:
            return None
        found = self._last_row_of(state, newest)
        with state.lock:
            if known.latest is None:
                known.latest = found
            return known.latest

    def _last_row_of(self, state: State, entry: ChunkEntry) -> LatestRow | None:
        columns = state.catalogues.widths[entry.catalogue]
        with self._session.storage.reader() as bodies:
            try:
                with bodies.open(entry.id) as read:
                    chunk = ChunkReader(self._cached(entry, read, columns), columns + 1)
                    values = np.array([chunk.column(column)[-1] for column in range(columns)])
                    timestamp = int(chunk.timestamps()[-1])
            except DamagedChunkError as error:
                self._session.note_damage(state, entry, -1, str(error))
                return None
        return LatestRow(timestamp, _id_of(state, entry.catalogue), values.tobytes())


def _matching(series: Sequence[Series], selectors: Sequence[MetricSelector]) -> list[_Column]:
    return [
        _Column(place, one.key, one)
        for place, one in enumerate(series)
        if any(selector.matches(one) for selector in selectors)
    ]


def _head_pieces(
    head: Sequence[HeadRow], columns_of: Callable[[int], list[_Column]], places: dict[str, int]
) -> list[_Piece]:
    pieces = []
    at = 0
    while at < len(head):
        number, start = head[at].catalogue, at
        while at < len(head) and head[at].catalogue == number:
            at += 1
        rows = head[start:at]
        columns = [one for one in columns_of(number) if one.key in places]
        matrix = np.frombuffer(b"".join([row.body for row in rows]), dtype="<f8").reshape(len(rows), -1)
        timestamps = np.array([row.timestamp_ms for row in rows], dtype=np.int64)
        pieces.append(_Piece(timestamps, columns, matrix[:, [one.place for one in columns]]))
    return pieces


def _newest_first(entries: Sequence[ChunkEntry]) -> list[ChunkEntry]:
    return sorted(entries, key=lambda entry: (entry.end_ms, entry.last), reverse=True)


def _place_of(timestamps: Integers, from_ms: int, at_ms: int) -> int | None:
    """Where the newest timestamp in `[from_ms, at_ms]` is; of equal ones the last to arrive."""
    inside = np.where((timestamps >= from_ms) & (timestamps <= at_ms), timestamps, -1)
    place = len(inside) - 1 - int(np.argmax(inside[::-1]))
    return place if inside[place] >= 0 else None


def _id_of(state: State, number: int) -> str:
    with state.lock:
        return state.catalogues.row(number).id
