"""Rows of many hosts at one instant, of which only some series are asked for: what the fleet looked like.

Of a chunk only the slices of those series are decoded; what was decoded is kept for a while, because who looks at one
instant looks at the next.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.store.timeseries.encoding.chunks import SAMPLES, ChunkReader, DamagedChunkError
from cybercorp.store.timeseries.reading.aggregations import is_increasing
from cybercorp.store.timeseries.reading.panels import Panel
from cybercorp.store.timeseries.reading.pictures import look, slices_of, take_picture
from cybercorp.store.timeseries.reading.tracks import Chosen, Column
from cybercorp.store.timeseries.rows import Floats, Integers, LatestRow
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import HeadRow, State
from cybercorp.store.timeseries.storage.contract import ChunkBodies, ChunkEntry

HOSTS_AT_ONCE = 100
KEPT_BYTES = 48 * 1024**2
KEPT_AROUND_MS = 180_000  # the instants that somebody steps to next
_UNSEALED = 1 << 60


class PastRow(NamedTuple):
    """A host's newest row at an instant, and the row before it if that is near; NaN for series not asked for."""

    row: LatestRow
    before: LatestRow | None


class _Place(NamedTuple):
    """Where a row is: in a chunk at a position, or unsealed. `arrived` orders the rows of one host."""

    timestamp_ms: int
    arrived: int
    entry: ChunkEntry | None
    position: int
    head: HeadRow | None


class _Decoded(NamedTuple):
    """Rows of one chunk with times of `[low_ms, high_ms]`: timestamps, and values by place in the catalogue."""

    timestamps: Integers
    columns: dict[int, Floats]
    increasing: bool
    low_ms: int
    high_ms: int

    def holds(self, start_ms: int, end_ms: int, columns: Sequence[Column]) -> bool:
        """Whether it has all rows of these times with all these series."""
        return self.low_ms <= start_ms and end_ms <= self.high_ms and all(one.place in self.columns for one in columns)

    @property
    def size_bytes(self) -> int:
        return self.timestamps.nbytes + sum(one.nbytes for one in self.columns.values())


class PastRows:
    """Any thread may call it; one at a time reads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._state: State | None = None
        self._panels: dict[Chosen, Panel] = {}
        self._kept: OrderedDict[int, _Decoded] = OrderedDict()
        self._kept_bytes = 0

    def rows_at(self, hosts: Sequence[int], at_ms: int, within_ms: int, chosen: Chosen) -> dict[int, PastRow]:
        """By host: the newest row in `[at_ms - within_ms, at_ms]`, and the one before it, at most as much older.

        Of equal timestamps the one that arrived last counts. Hosts without such a row are absent.
        """
        found: dict[int, PastRow] = {}
        with self._lock:
            panel = self._panels.setdefault(chosen, Panel(chosen))
            for at in range(0, len(hosts), HOSTS_AT_ONCE):
                answer = functools.partial(self._rows_of, panel, hosts[at : at + HOSTS_AT_ONCE], at_ms, within_ms)
                found.update(look(self._session, answer))
        return found

    def _rows_of(
        self, panel: Panel, hosts: Sequence[int], at_ms: int, within_ms: int, state: State
    ) -> dict[int, PastRow]:
        if state is not self._state:  # opened anew: a chunk's number may mean another now
            self._state = state
            self._kept.clear()
            self._kept_bytes = 0
        panel.prepare(state)
        found = {}
        with self._session.storage.reader() as bodies:
            for host in hosts:
                row = self._row_of(state, bodies, panel, host, at_ms, within_ms)
                if row is not None:
                    found[host] = row
        self._shrink()
        return found

    def _row_of(
        self, state: State, bodies: ChunkBodies, panel: Panel, host: int, at_ms: int, within_ms: int
    ) -> PastRow | None:
        picture = take_picture(state, host, SAMPLES, at_ms - 2 * within_ms, at_ms + 1)
        places = [_Place(row.timestamp_ms, _UNSEALED + at, None, 0, row) for at, row in enumerate(picture.head)]
        times = sorted({one.timestamp_ms for one in places})[-2:]
        for entry in sorted(picture.entries, key=lambda one: one.end_ms, reverse=True):
            if len(times) == 2 and entry.end_ms < times[0]:
                break  # nor has any later one a row that matters
            columns = panel.columns_of(state, entry.catalogue)
            decoded = self._decoded(state, bodies, entry, columns, at_ms - 2 * within_ms, at_ms)
            if decoded is not None:
                places += _newest(decoded, entry, at_ms)
                times = sorted({one.timestamp_ms for one in places})[-2:]
        if not times or times[-1] < at_ms - within_ms:
            return None
        newest = max(places, key=_order)
        low = newest.timestamp_ms - within_ms - 1
        older = [one for one in places if low <= one.timestamp_ms < newest.timestamp_ms]
        before = max(older, key=_order, default=None)
        return PastRow(
            self._latest(state, panel, newest), self._latest(state, panel, before) if before is not None else None
        )

    def _decoded(
        self,
        state: State,
        bodies: ChunkBodies,
        entry: ChunkEntry,
        columns: Sequence[Column],
        start_ms: int,
        end_ms: int,
    ) -> _Decoded | None:
        known = self._kept.get(entry.id)
        if known is not None and known.holds(start_ms, end_ms, columns):
            self._kept.move_to_end(entry.id)
            return known
        width = state.catalogues.widths[entry.catalogue]
        try:
            with bodies.open(entry.id) as read:
                chunk = ChunkReader(slices_of(entry, read, len(columns)), entry.owner, width + 1)
                timestamps = chunk.timestamps()
                values = {one.place: self._column(state, entry, chunk, one.place) for one in columns}
        except DamagedChunkError as error:
            self._session.note_damage(state, entry, -1, str(error))
            return None
        made = _cut(timestamps, values, start_ms - KEPT_AROUND_MS, end_ms + KEPT_AROUND_MS)
        self._kept[entry.id] = made
        self._kept_bytes += made.size_bytes - (known.size_bytes if known else 0)
        return made

    def _column(self, state: State, entry: ChunkEntry, chunk: ChunkReader, place: int) -> Floats:
        try:
            return chunk.column(place)
        except DamagedChunkError as error:
            self._session.note_damage(state, entry, place + 1, str(error))
            return np.full(chunk.rows, np.nan)

    def _latest(self, state: State, panel: Panel, place: _Place) -> LatestRow:
        entry = place.entry
        if place.head is not None or entry is None:
            head = place.head
            assert head is not None
            return LatestRow(head.timestamp_ms, self._catalogue(state, head.catalogue), head.body)
        values = np.full(state.catalogues.widths[entry.catalogue], np.nan)
        columns = self._kept[entry.id].columns
        for one in panel.columns_of(state, entry.catalogue):
            values[one.place] = columns[one.place][place.position]
        return LatestRow(place.timestamp_ms, self._catalogue(state, entry.catalogue), values.tobytes())

    @staticmethod
    def _catalogue(state: State, number: int) -> str:
        with state.lock:
            return state.catalogues.row(number).id

    def _shrink(self) -> None:
        while self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= self._kept.popitem(last=False)[1].size_bytes


def _cut(timestamps: Integers, columns: dict[int, Floats], low_ms: int, high_ms: int) -> _Decoded:
    """What is near the instant, of a chunk that may have hours."""
    inside = (timestamps >= low_ms) & (timestamps <= high_ms)
    times = timestamps[inside]
    kept = {place: values[inside] for place, values in columns.items()}
    return _Decoded(times, kept, is_increasing(times), low_ms, high_ms)


def _order(place: _Place) -> tuple[int, int]:
    return place[:2]


def _newest(decoded: _Decoded, entry: ChunkEntry, at_ms: int) -> list[_Place]:
    """The newest two of different timestamps up to `at_ms`; of equal ones the last to arrive."""
    timestamps = decoded.timestamps
    if decoded.increasing:
        last = int(timestamps.searchsorted(at_ms, side="right")) - 1
        chosen = [place for place in (last, last - 1) if place >= 0]
        return [_Place(int(timestamps[place]), entry.first, entry, place, None) for place in chosen]
    found: list[_Place] = []
    inside = np.flatnonzero(timestamps <= at_ms)
    while len(inside) and len(found) < 2:
        times = timestamps[inside]
        place = int(inside[len(times) - 1 - int(np.argmax(times[::-1]))])
        found.append(_Place(int(timestamps[place]), entry.first, entry, place, None))
        inside = inside[times < timestamps[place]]
    return found
