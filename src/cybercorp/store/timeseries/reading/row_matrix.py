"""Rows of several chunks and of the head as one matrix over chosen series, in order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from cybercorp.protocol.metrics import Series
from cybercorp.store.timeseries.encoding.chunks import ChunkReader, DamagedChunkError
from cybercorp.store.timeseries.reading.pictures import head_columns, slices_of
from cybercorp.store.timeseries.rows import Floats, Integers
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import HeadRow, State
from cybercorp.store.timeseries.storage.contract import ChunkBodies, ChunkEntry


class SeriesPlace(Protocol):
    """A series of a catalogue: its place there, its canonical key, itself."""

    @property
    def place(self) -> int: ...

    @property
    def key(self) -> str: ...

    @property
    def series(self) -> Series: ...


ColumnsOf = Callable[[int], Sequence[SeriesPlace]]


class RowMatrix(NamedTuple):
    """`timestamps` [rows] in order of arrival, `values` [rows, series]: NaN where a row lacks the series."""

    timestamps: Integers
    values: Floats

    def since(self, start_ms: int) -> RowMatrix:
        """The rows that are not older."""
        chosen = self.timestamps >= start_ms
        return self if chosen.all() else RowMatrix(self.timestamps[chosen], self.values[chosen])

    @staticmethod
    def joined(first: RowMatrix, second: RowMatrix) -> RowMatrix:
        """The rows of one, then those of the other."""
        return RowMatrix(
            np.concatenate((first.timestamps, second.timestamps)), np.concatenate((first.values, second.values))
        )


def read_rows(
    session: Session,
    state: State,
    entries: Iterable[ChunkEntry],
    head: Sequence[HeadRow],
    columns_of: ColumnsOf,
    places: Mapping[str, int],
) -> RowMatrix:
    """Chunks in order of arrival, then unsealed rows; column `places[key]` holds the series `key`.

    Damage is noted and NaN. Raises ChunkGoneError, StorageError.
    """
    pieces: list[tuple[RowMatrix, list[int]]] = []
    with session.storage.reader() as bodies:
        for entry in entries:
            chosen = [one for one in columns_of(entry.catalogue) if one.key in places]
            piece = _read_chunk(session, state, bodies, entry, [one.place for one in chosen])
            if piece is not None:
                pieces.append((piece, [places[one.key] for one in chosen]))
    at = 0
    while at < len(head):
        number, start = head[at].catalogue, at
        while at < len(head) and head[at].catalogue == number:
            at += 1
        rows = head[start:at]
        chosen = [one for one in columns_of(number) if one.key in places]
        timestamps = np.array([row.timestamp_ms for row in rows], dtype=np.int64)
        matrix = head_columns(rows, [one.place for one in chosen]).T
        pieces.append((RowMatrix(timestamps, matrix), [places[one.key] for one in chosen]))
    return _joined(pieces, len(places))


def _read_chunk(
    session: Session, state: State, bodies: ChunkBodies, entry: ChunkEntry, columns: Sequence[int]
) -> RowMatrix | None:
    try:
        with bodies.open(entry.id) as read:
            chunk = ChunkReader(
                slices_of(entry, read, len(columns)), entry.owner, state.catalogues.widths[entry.catalogue] + 1
            )
            timestamps = chunk.timestamps()
            values = np.full((len(timestamps), len(columns)), np.nan, order="F")
            for position, column in enumerate(columns):
                try:
                    values[:, position] = chunk.column(column)
                except DamagedChunkError as error:
                    session.note_damage(state, entry, column + 1, str(error))
    except DamagedChunkError as error:
        session.note_damage(state, entry, -1, str(error))
        return None
    return RowMatrix(timestamps, values)


def _joined(pieces: Sequence[tuple[RowMatrix, list[int]]], width: int) -> RowMatrix:
    if not pieces:
        return RowMatrix(np.empty(0, dtype=np.int64), np.empty((0, width)))
    timestamps = np.concatenate([piece.timestamps for piece, _ in pieces])
    values = np.full((len(timestamps), width), np.nan)
    at = 0
    for piece, columns in pieces:
        until = at + len(piece.timestamps)
        values[at:until, columns] = piece.values
        at = until
    return RowMatrix(timestamps, values)
