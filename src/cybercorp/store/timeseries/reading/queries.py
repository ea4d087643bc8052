"""Series over a range: which rows are needed, read column by column, joined across catalogues, aggregated per step.

Few series of recent rows come from tracks, many hosts at once; everything else is read host by host.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from cybercorp.protocol.metrics import Aggregation, MetricSelector
from cybercorp.store.timeseries.encoding.chunks import SAMPLES, ChunkReader, DamagedChunkError
from cybercorp.store.timeseries.log.unsealed import read_ahead
from cybercorp.store.timeseries.reading.aggregations import is_increasing, without_replaced
from cybercorp.store.timeseries.reading.panels import Panel, Panels
from cybercorp.store.timeseries.reading.pictures import look, slices_of, take_picture
from cybercorp.store.timeseries.reading.query_ranges import Range, steps_of_rows, steps_of_tracks
from cybercorp.store.timeseries.reading.rollups import Tier
from cybercorp.store.timeseries.reading.row_matrix import read_rows
from cybercorp.store.timeseries.reading.tier_queries import RECENT_MS, TierQueries
from cybercorp.store.timeseries.reading.tracks import MAX_TRACK_COLUMNS, Chosen, Column, Piece
from cybercorp.store.timeseries.rows import Samples, Selection, SeriesResult
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import State
from cybercorp.store.timeseries.storage.contract import ChunkBodies, ChunkEntry

WORKING_VALUES = 1 << 20  # at most so many values of one host are decoded at once
TRACKS_BYTES = 64 * 1024**2
HOSTS_AT_ONCE = 250
_LOOKED_AT = 100


class Queries:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._panels = Panels(TRACKS_BYTES)
        self._tiers = TierQueries(session)

    def query(
        self,
        selections: Sequence[Selection],
        start_ms: int,
        end_ms: int,
        step_ms: int,
        aggregation: Aggregation,
        quantile: float | None = None,
        tier: Tier = Tier.RAW,
        check: Callable[[], None] = lambda: None,
    ) -> list[SeriesResult]:
        """The matching series of every selected host, in the order of the selections."""
        wanted = Range(start_ms, step_ms, -(-(end_ms - start_ms) // step_ms), aggregation, quantile)
        selectors: dict[int, dict[MetricSelector, None]] = {}
        for one in selections:
            selectors.setdefault(one.host, {})[one.selector] = None
        together: dict[Chosen, list[int]] = {}
        for host, named in selectors.items():
            together.setdefault(tuple(named), []).append(host)
        results: list[SeriesResult] = []
        for chosen, hosts in together.items():
            results.extend(self.query_hosts(hosts, chosen, wanted, tier, check))
        if len(together) > 1:
            order = {host: rank for rank, host in enumerate(selectors)}
            results.sort(key=lambda one: order[one.host])
        return results

    def query_hosts(
        self, hosts: Sequence[int], chosen: Chosen, wanted: Range, tier: Tier, check: Callable[[], None]
    ) -> list[SeriesResult]:
        """The series that the selectors mean of every host, in the order of the hosts."""
        panel = self._panels.panel(chosen)
        with panel.lock:
            answer = functools.partial(self._query_hosts, panel, hosts, wanted, tier, check)
            results = look(self._session, answer)
        self._panels.shrink()
        return results

    def samples(self, host: int, chosen: Chosen, start_ms: int, end_ms: int) -> Samples:
        """Every sample of the matching series in the range, sorted by time, of each timestamp the last."""
        panel = Panel(chosen)
        return look(self._session, lambda state: self._samples(state, panel, host, start_ms, end_ms))

    def _samples(self, state: State, panel: Panel, host: int, start_ms: int, end_ms: int) -> Samples:
        panel.prepare(state)
        picture = take_picture(state, host, SAMPLES, start_ms, end_ms)
        numbers = [one.catalogue for one in picture.entries] + [row.catalogue for row in picture.head]
        series = panel.series_of(state, dict.fromkeys(numbers))
        places = {key: place for place, key in enumerate(series)}
        found = read_rows(
            self._session, state, picture.entries, picture.head, lambda one: panel.columns_of(state, one), places
        )
        timestamps, values = without_replaced(found.timestamps, found.values)
        inside = (timestamps >= start_ms) & (timestamps < end_ms)
        timestamps, values = timestamps[inside], values[inside]
        if not is_increasing(timestamps):
            order = np.argsort(timestamps, kind="stable")
            timestamps, values = timestamps[order], values[order]
        known = np.flatnonzero(np.isfinite(values).any(axis=0)).tolist()
        every = list(series.values())
        return Samples([every[place] for place in known], timestamps, values[:, known])

    def _query_hosts(
        self,
        panel: Panel,
        hosts: Sequence[int],
        wanted: Range,
        tier: Tier,
        check: Callable[[], None],
        state: State,
    ) -> list[SeriesResult]:
        results: list[SeriesResult] = []
        panel.prepare(state)
        if tier is not Tier.RAW or not self._worth_keeping(state, panel, hosts, wanted):
            for host in read_ahead(state.log, hosts, state.parts_of, wanted.from_ms, wanted.end_ms):
                check()
                if tier is Tier.RAW:
                    results.extend(self._query_host(state, panel, host, wanted))
                else:
                    found = self._tiers.query_host(state, panel, host, wanted, tier)
                    results.extend(self._query_host(state, panel, host, wanted) if found is None else found)
            return results
        for at in range(0, len(hosts), HOSTS_AT_ONCE):
            check()
            with self._session.storage.reader() as bodies:

                def read(entry: ChunkEntry, columns: Sequence[Column], bodies: ChunkBodies = bodies) -> Piece | None:
                    return self._read_piece(state, bodies, entry, columns)

                tracks = panel.refresh(state, hosts[at : at + HOSTS_AT_ONCE], wanted.from_ms, read)
            results.extend(steps_of_tracks(tracks, wanted))
        panel.trim(wanted.from_ms)
        return results

    def _worth_keeping(self, state: State, panel: Panel, hosts: Sequence[int], wanted: Range) -> bool:
        """Whether the rows from the range's start to now are few, and mostly asked for."""
        newest, numbers = 0, set()
        with state.lock:
            for host in hosts[:_LOOKED_AT]:
                known = state.hosts.get(host)
                if known is None:
                    continue
                if known.last is not None:
                    newest = max(newest, known.last[1])
                    numbers.add(known.last[3])
                elif known.samples.newest is not None:
                    newest = max(newest, known.samples.newest.end_ms)
                    numbers.add(known.samples.newest.catalogue)
        columns = max((len(panel.columns_of(state, number)) for number in numbers), default=0)
        needed_ms, reach_ms = wanted.end_ms - wanted.from_ms, newest - wanted.from_ms
        if not 0 < columns <= MAX_TRACK_COLUMNS or reach_ms > 2 * needed_ms + RECENT_MS:
            return False
        return self._panels.fits(len(hosts) * max(0, reach_ms) // 1000, columns)

    def _query_host(self, state: State, panel: Panel, host: int, wanted: Range) -> list[SeriesResult]:
        picture = take_picture(state, host, SAMPLES, wanted.from_ms, wanted.end_ms)
        inside = {one.catalogue for one in picture.entries if one.end_ms >= wanted.start_ms}
        inside |= {row.catalogue for row in picture.head if row.timestamp_ms >= wanted.start_ms}
        numbers = [one.catalogue for one in picture.entries] + [row.catalogue for row in picture.head]
        series = panel.series_of(state, [number for number in dict.fromkeys(numbers) if number in inside])
        rows = sum(one.rows for one in picture.entries) + len(picture.head)
        width = max(1, WORKING_VALUES // max(1, rows))
        keys = list(series)
        results: list[SeriesResult] = []
        for at in range(0, len(keys), width):
            places = {key: place for place, key in enumerate(keys[at : at + width])}
            found = read_rows(
                self._session, state, picture.entries, picture.head, lambda one: panel.columns_of(state, one), places
            )
            values = steps_of_rows(found.timestamps, found.values, wanted)
            results.extend(SeriesResult(host, series[key], values[place]) for key, place in places.items())
        return results

    def _read_piece(
        self, state: State, bodies: ChunkBodies, entry: ChunkEntry, columns: Sequence[Column]
    ) -> Piece | None:
        try:
            with bodies.open(entry.id) as read:
                chunk = ChunkReader(
                    slices_of(entry, read, len(columns)), entry.owner, state.catalogues.widths[entry.catalogue] + 1
                )
                timestamps = chunk.timestamps()
                values = np.full((len(columns), len(timestamps)), np.nan)
                for position, column in enumerate(columns):
                    try:
                        values[position] = chunk.column(column.place)
                    except DamagedChunkError as error:
                        self._session.note_damage(state, entry, column.place + 1, str(error))
        except DamagedChunkError as error:
            self._session.note_damage(state, entry, -1, str(error))
            return None
        return Piece(entry.catalogue, timestamps, values)
