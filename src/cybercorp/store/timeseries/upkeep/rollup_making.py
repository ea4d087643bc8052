"""Makes rollup chunks of a stretch of one host: from rows, from finer or shorter rollups, whatever is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.protocol.metrics import MetricKind, Series
from cybercorp.store.timeseries.encoding.rollup_chunks import encode_columns, join_rollup, shared_numbers
from cybercorp.store.timeseries.encoding.rollup_columns import NO_VALUES, RowNumbers
from cybercorp.store.timeseries.index import bucket_of
from cybercorp.store.timeseries.reading.intervals import Intervals, combine
from cybercorp.store.timeseries.reading.rollup_reading import STEPS, View, read_intervals, take_view
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import State
from cybercorp.store.timeseries.storage.contract import ChunkEntry

WORKING_VALUES = 1 << 21  # of rows, at most so many are decoded at once


class _Place(NamedTuple):
    place: int
    key: str
    series: Series


class RollupMaker:
    """Used by one thread at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._columns: dict[int, list[_Place]] = {}

    def make(self, state: State, host: int, kind: int, start_ms: int, end_ms: int) -> list[tuple[ChunkEntry, bytes]]:
        """The set of one kind for whole periods, without ids; empty where there is nothing.

        Every series is in the chunk of the newest catalogue that has it. Raises ChunkGoneError, StorageError.
        """
        view = take_view(state, host, kind, start_ms, end_ms, unsealed=False)
        self._columns = {number: self._columns.get(number) or _places(state, number) for number in view.catalogues()}
        owners = {one.key: number for number in view.catalogues(start_ms, end_ms) for one in self._columns[number]}
        keys = list(owners)
        first: Intervals | None = None
        shared: RowNumbers | None = None
        slices: dict[str, bytes] = {}
        for group in self._groups(view, keys, start_ms, end_ms):
            found = self._read(state, view, kind, group, (start_ms, end_ms))
            if not len(found.starts):
                return []
            first, shared = first or found, shared or shared_numbers(found)
            slices.update(self._encode(found, shared, group, owners))
        if first is None or shared is None:
            return []
        entry = _entry(view, kind, first, start_ms, end_ms)
        made: list[tuple[ChunkEntry, bytes]] = []
        for number in dict.fromkeys(owners.values()):
            columns = [slices[one.key] if owners[one.key] == number else NO_VALUES for one in self._columns[number]]
            if all(one == NO_VALUES for one in columns) and made:
                continue
            body = join_rollup(kind, (host, number), first, shared, columns, STEPS[kind])
            made.append((entry._replace(catalogue=number, size_bytes=len(body)), body))
        return made

    def _encode(
        self, found: Intervals, shared: RowNumbers, keys: Sequence[str], owners: Mapping[str, int]
    ) -> Iterator[tuple[str, bytes]]:
        """Series of one chunk together: one may tell another."""
        columns = {key: column for column, key in enumerate(keys)}
        for number in dict.fromkeys(owners[key] for key in keys):
            chosen = {one.place: one.key for one in self._columns[number] if one.key in columns}
            chosen = {place: key for place, key in chosen.items() if owners[key] == number}
            made = encode_columns(found, shared, {place: columns[key] for place, key in chosen.items()})
            yield from ((key, made[place]) for place, key in chosen.items())

    @staticmethod
    def _groups(view: View, keys: Sequence[str], start_ms: int, end_ms: int) -> list[Sequence[str]]:
        inside = (one for one in view.entries if one.start_ms < end_ms and one.end_ms >= start_ms)
        unknown = (one.rows for one in inside if one.last > view.rolled_up_to(one))
        rows = max(1440, sum(unknown))
        width = max(1, WORKING_VALUES // rows)
        return [keys[at : at + width] for at in range(0, len(keys), width)]

    def _read(self, state: State, view: View, kind: int, keys: Sequence[str], wanted: tuple[int, int]) -> Intervals:
        kinds = {one.key: one.series.kind for columns in self._columns.values() for one in columns}
        counters = np.array([kinds[key] is MetricKind.COUNTER for key in keys], dtype=bool)
        parts = read_intervals(
            self._session, state, view, kind, lambda number: self._columns[number], keys, counters, wanted
        )
        return combine(parts, STEPS[kind])


def _places(state: State, number: int) -> list[_Place]:
    with state.lock:
        series = state.catalogues.series(number)
    return [_Place(place, one.key, one) for place, one in enumerate(series)]


def _entry(view: View, kind: int, intervals: Intervals, start_ms: int, end_ms: int) -> ChunkEntry:
    """What the chunks of a set have in common; what they cover is told in milliseconds inside the stretch."""
    low = max(start_ms, int(intervals.starts[0]))
    high = min(end_ms, int(intervals.starts[-1]) + STEPS[kind]) - 1
    rows = [one for one in view.entries if one.start_ms < end_ms and one.end_ms >= start_ms]
    sets = [entry for best in (view.minutes, view.hours) for one in set(best.values()) for entry in one.entries]
    known = rows + [one for one in sets if one.start_ms < end_ms and one.end_ms >= start_ms]
    return ChunkEntry(
        id=0,
        host=view.host,
        kind=kind,
        catalogue=0,
        bucket=bucket_of(view.host, low),
        first=min(one.first for one in known),
        last=max(one.last for one in known),
        start_ms=low,
        end_ms=high,
        rows=len(intervals.starts),
        size_bytes=0,
        received_ms=max(one.received_ms for one in known),
    )
