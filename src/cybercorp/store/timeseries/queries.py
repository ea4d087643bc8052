"""Series over a range: which rows are needed, read column by column, joined across catalogues, aggregated per step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.protocol.metrics import Aggregation, MetricSelector, Series
from cybercorp.store.timeseries.aggregations import aggregate, reach_ms
from cybercorp.store.timeseries.chunks import SAMPLES, ChunkReader, DamagedChunkError
from cybercorp.store.timeseries.reading import Picture, look, slices_of, take_picture
from cybercorp.store.timeseries.rows import Floats, Integers, Selection, SeriesResult
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import HeadRow, State
from cybercorp.store.timeseries.storage import ChunkBodies, ChunkEntry

WORKING_VALUES = 1 << 20  # at most so many values of one host are decoded at once


class _Column(NamedTuple):
    """A series that a selector matches: its place in a catalogue, its canonical key, itself."""

    place: int
    key: str
    series: Series


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

            results.extend(look(self._session, answer))
        return results

    def _series(self, number: int) -> tuple[Series, ...]:
        state = self._session.state
        with state.lock:
            return state.catalogues.series(number)

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
        from_ms = start_ms - reach_ms(aggregation, step_ms)
        picture = take_picture(state, host, SAMPLES, from_ms, end_ms)
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
            timestamps, values = self._gather(state, picture, places, columns_of)
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
        picture: Picture,
        places: dict[str, int],
        columns_of: Callable[[int], list[_Column]],
    ) -> tuple[Integers, Floats]:
        """All rows of a picture in order of arrival: [rows], [rows, series]. NaN where a row lacks the series."""
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
        return timestamps, values

    def _read_piece(
        self, state: State, bodies: ChunkBodies, entry: ChunkEntry, columns: list[_Column]
    ) -> _Piece | None:
        try:
            with bodies.open(entry.id) as read:
                chunk = ChunkReader(
                    slices_of(entry, read, len(columns)), entry.owner, state.catalogues.widths[entry.catalogue] + 1
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
