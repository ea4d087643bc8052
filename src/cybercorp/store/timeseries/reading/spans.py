"""Whole rows of a span of time, as they were stored: for recordings and everything else that copies history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cybercorp.protocol.metrics import Catalogue
from cybercorp.store.timeseries.encoding.chunks import PROCESSES, SAMPLES, ChunkReader, DamagedChunkError
from cybercorp.store.timeseries.reading.pictures import look, slices_of, tables_of, take_picture
from cybercorp.store.timeseries.rows import Floats, Integers
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import HeadRow, State
from cybercorp.store.timeseries.storage.contract import ChunkEntry

SLICE_MS = 1_800_000


class RowBlock(NamedTuple):
    """Rows of one catalogue in order of arrival: `timestamps` [rows], `values` [rows, series]; damage is NaN."""

    catalogue: Catalogue
    timestamps: Integers
    values: Floats


class Spans:
    def __init__(self, session: Session) -> None:
        self._session = session

    def rows(self, host: int, start_ms: int, end_ms: int) -> Iterator[RowBlock]:
        """The rows of samples in `[start_ms, end_ms)`, half an hour at a time; rows of one timestamp in their order.

        Each half hour is read as it is at one moment. Raises StorageError.
        """
        for at, until in self._halves(host, start_ms, end_ms):
            yield from look(self._session, lambda state, at=at, until=until: self._slice(state, host, at, until))  # type: ignore[misc]

    def tables(self, host: int, start_ms: int, end_ms: int) -> Iterator[bytes]:
        """The process tables (MessagePack) in `[start_ms, end_ms)` by time; of two of one time the one that came last.

        As `rows`, half an hour at a time. Raises StorageError.
        """
        for at, until in self._halves(host, start_ms, end_ms):
            yield from look(self._session, lambda state, at=at, until=until: self._bodies(state, host, at, until))  # type: ignore[misc]

    def _halves(self, host: int, start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
        """The half hours of a span, but for those before and after everything that the host has."""
        state = self._session.state
        with state.lock:
            owner = state.hosts.get(host)
            bounds = owner.bounds() if owner is not None else None
        if bounds is None:
            return
        at, end_ms = max(start_ms, bounds[0]), min(end_ms, bounds[1] + 1)
        while at < end_ms:
            until = min(at + SLICE_MS - at % SLICE_MS, end_ms)
            yield at, until
            at = until

    def _bodies(self, state: State, host: int, start_ms: int, end_ms: int) -> list[bytes]:
        picture = take_picture(state, host, PROCESSES, start_ms, end_ms)
        found: dict[int, bytes] = {}
        with self._session.storage.reader() as storage:
            for entry in picture.entries:
                try:
                    with storage.open(entry.id) as read:
                        chunk = tables_of(self._session, entry, slices_of(entry, read, 3))
                        found.update(zip(chunk.timestamps().tolist(), chunk.bodies(), strict=True))
                except DamagedChunkError as error:
                    self._session.note_damage(state, entry, -1, str(error))
        found.update((row.timestamp_ms, row.body) for row in picture.head)
        return [body for at_ms, body in sorted(found.items()) if start_ms <= at_ms < end_ms]

    def _slice(self, state: State, host: int, start_ms: int, end_ms: int) -> list[RowBlock]:
        picture = take_picture(state, host, SAMPLES, start_ms, end_ms)
        blocks = [self._chunk(state, entry) for entry in picture.entries]
        blocks += self._head(state, picture.head)
        return [cut for block in blocks if block is not None if (cut := _inside(block, start_ms, end_ms)) is not None]

    def _chunk(self, state: State, entry: ChunkEntry) -> RowBlock | None:
        catalogue = self._catalogue(state, entry.catalogue)
        width = len(catalogue.series)
        with self._session.storage.reader() as bodies:
            try:
                with bodies.open(entry.id) as read:
                    chunk = ChunkReader(slices_of(entry, read, width), entry.owner, width + 1)
                    timestamps = chunk.timestamps()
                    values = np.full((len(timestamps), width), np.nan)
                    for column in range(width):
                        try:
                            values[:, column] = chunk.column(column)
                        except DamagedChunkError as error:
                            self._session.note_damage(state, entry, column + 1, str(error))
            except DamagedChunkError as error:
                self._session.note_damage(state, entry, -1, str(error))
                return None
        return RowBlock(catalogue, timestamps, values)

    def _head(self, state: State, head: list[HeadRow]) -> list[RowBlock]:
        blocks = []
        at = 0
        while at < len(head):
            number, start = head[at].catalogue, at
            while at < len(head) and head[at].catalogue == number:
                at += 1
            rows = head[start:at]
            matrix = np.frombuffer(b"".join([row.body for row in rows]), dtype="<f8").reshape(len(rows), -1)
            timestamps = np.array([row.timestamp_ms for row in rows], dtype=np.int64)
            blocks.append(RowBlock(self._catalogue(state, number), timestamps, matrix))
        return blocks

    @staticmethod
    def _catalogue(state: State, number: int) -> Catalogue:
        with state.lock:
            return state.catalogues.catalogue(number)


def _inside(block: RowBlock, start_ms: int, end_ms: int) -> RowBlock | None:
    wanted = (block.timestamps >= start_ms) & (block.timestamps < end_ms)
    if not wanted.any():
        return None
    return block if wanted.all() else RowBlock(block.catalogue, block.timestamps[wanted], block.values[wanted])
