"""Series over a range: which rows are needed, read column by column, joined across catalogues, aggregated per step.

Few series of recent rows come from tracks, many hosts at once; everything else is read host by host.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.protocol.metrics import Aggregation, MetricKind, MetricSelector, Series
from cybercorp.store.timeseries.aggregations import (
    GROWTH,
    aggregate,
    aggregate_runs,
    is_increasing,
    reach_ms,
    reduce_runs,
    without_replaced,
)
from cybercorp.store.timeseries.chunks import SAMPLES, ChunkReader, DamagedChunkError
from cybercorp.store.timeseries.interval_steps import aggregate_intervals
from cybercorp.store.timeseries.interval_tracks import IntervalTracks, refreshed
from cybercorp.store.timeseries.intervals import Intervals
from cybercorp.store.timeseries.log import read_ahead
from cybercorp.store.timeseries.reading import look, slices_of, take_picture
from cybercorp.store.timeseries.rollups import Tier, read_tier, tier_catalogues
from cybercorp.store.timeseries.row_matrix import read_rows
from cybercorp.store.timeseries.rows import Floats, Integers, Samples, Selection, SeriesResult
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import State
from cybercorp.store.timeseries.storage import ChunkBodies, ChunkEntry
from cybercorp.store.timeseries.tracks import Chosen, Column, Panel, Panels, Piece, Track

WORKING_VALUES = 1 << 20  # at most so many values of one host are decoded at once
TRACKS_BYTES = 64 * 1024**2
INTERVALS_BYTES = 32 * 1024**2
MAX_TRACK_COLUMNS = 8
HOSTS_AT_ONCE = 250
VALUES_AT_ONCE = 1 << 17
LEAST_MINUTES_MS = 3 * 3_600_000
LEAST_HOURS_MS = 4 * 86_400_000
_RECENT_MS = 900_000
_LOOKED_AT = 100


class Range(NamedTuple):
    """What is asked of each series."""

    start_ms: int
    step_ms: int
    points: int
    aggregation: Aggregation
    quantile: float | None

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.points * self.step_ms

    @property
    def from_ms(self) -> int:
        """Where the rows begin that are needed."""
        return self.start_ms - reach_ms(self.aggregation)


class Queries:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._panels = Panels(TRACKS_BYTES)
        self._intervals = IntervalTracks(INTERVALS_BYTES)

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
        series = _series_of(state, panel, dict.fromkeys(numbers))
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
                    results.extend(self._query_tier(state, panel, host, wanted, tier))
            return results
        for at in range(0, len(hosts), HOSTS_AT_ONCE):
            check()
            with self._session.storage.reader() as bodies:

                def read(entry: ChunkEntry, columns: Sequence[Column], bodies: ChunkBodies = bodies) -> Piece | None:
                    return self._read_piece(state, bodies, entry, columns)

                tracks = panel.refresh(state, hosts[at : at + HOSTS_AT_ONCE], wanted.from_ms, read)
            results.extend(_aggregated(tracks, wanted))
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
        if not 0 < columns <= MAX_TRACK_COLUMNS or reach_ms > 2 * needed_ms + _RECENT_MS:
            return False
        return self._panels.fits(len(hosts) * max(0, reach_ms) // 1000, columns)

    def _query_host(self, state: State, panel: Panel, host: int, wanted: Range) -> list[SeriesResult]:
        picture = take_picture(state, host, SAMPLES, wanted.from_ms, wanted.end_ms)
        inside = {one.catalogue for one in picture.entries if one.end_ms >= wanted.start_ms}
        inside |= {row.catalogue for row in picture.head if row.timestamp_ms >= wanted.start_ms}
        numbers = [one.catalogue for one in picture.entries] + [row.catalogue for row in picture.head]
        series = _series_of(state, panel, [number for number in dict.fromkeys(numbers) if number in inside])
        rows = sum(one.rows for one in picture.entries) + len(picture.head)
        width = max(1, WORKING_VALUES // max(1, rows))
        keys = list(series)
        results: list[SeriesResult] = []
        for at in range(0, len(keys), width):
            places = {key: place for place, key in enumerate(keys[at : at + width])}
            found = read_rows(
                self._session, state, picture.entries, picture.head, lambda one: panel.columns_of(state, one), places
            )
            values = _aggregate(found.timestamps, found.values, wanted)
            results.extend(SeriesResult(host, series[key], values[place]) for key, place in places.items())
        return results

    def _query_tier(self, state: State, panel: Panel, host: int, wanted: Range, tier: Tier) -> list[SeriesResult]:
        start_ms, end_ms = wanted.start_ms, wanted.end_ms
        kept = self._kept_intervals(state, panel, host, wanted, tier)
        if kept is not None:
            return [
                SeriesResult(host, series, row)
                for series, row in zip(kept[0].values(), _stepped(kept[1], wanted), strict=True)
            ]
        series = _series_of(state, panel, tier_catalogues(state, host, tier, start_ms, end_ms))
        if wanted.aggregation in GROWTH and any(one.kind is not MetricKind.COUNTER for one in series.values()):
            return self._query_host(state, panel, host, wanted)  # of a gauge, intervals know no growth
        keys = list(series)
        width = max(1, WORKING_VALUES // max(1, (end_ms - start_ms) // tier.step_ms))
        results: list[SeriesResult] = []
        for at in range(0, len(keys), width):
            chosen = keys[at : at + width]
            intervals = read_tier(
                self._session, state, host, tier, lambda one: panel.columns_of(state, one), chosen, start_ms, end_ms
            )
            values = _stepped(intervals, wanted)
            results.extend(SeriesResult(host, series[key], row) for key, row in zip(chosen, values, strict=True))
        return results

    def _kept_intervals(
        self, state: State, panel: Panel, host: int, wanted: Range, tier: Tier
    ) -> tuple[dict[str, Series], Intervals] | None:
        """What is kept, brought up to date; None where that is not worth it."""
        with state.lock:
            owner = state.hosts.get(host)
            bounds = owner.bounds() if owner is not None else None
        span_ms = wanted.end_ms - wanted.start_ms
        if bounds is None or bounds[1] - wanted.start_ms > 2 * span_ms + _RECENT_MS:
            return None

        def series_of(start_ms: int, end_ms: int) -> dict[str, Series]:
            return _series_of(state, panel, tier_catalogues(state, host, tier, start_ms, end_ms))

        def read(keys: Sequence[str], start_ms: int, end_ms: int) -> Intervals:
            return read_tier(
                self._session, state, host, tier, lambda one: panel.columns_of(state, one), keys, start_ms, end_ms
            )

        key = (panel.chosen, host, tier.step_ms)
        known = self._intervals.find(key)
        if known is None:
            columns = len(series_of(wanted.start_ms, wanted.end_ms))
            if columns > MAX_TRACK_COLUMNS or not self._intervals.fits(span_ms // tier.step_ms, columns):
                return None
        track = refreshed(state, host, known, wanted.start_ms, tier.step_ms, series_of, read)
        if track is None:
            return None
        self._intervals.keep(key, track)
        gauges = any(one.kind is not MetricKind.COUNTER for one in track.series.values())
        if wanted.aggregation in GROWTH and gauges:
            return None
        return track.of(wanted.start_ms, wanted.end_ms)

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


def choose_tier(start_ms: int, end_ms: int, step_ms: int, aggregation: Aggregation | None, raw_from_ms: int) -> Tier:
    """The coarsest tier that gives the same answer; every sample where that is little, or the only exact way.

    `raw_from_ms` is when samples begin: older ones are kept as intervals only.
    """
    if aggregation is Aggregation.QUANTILE:
        return Tier.RAW
    for tier, least_ms in ((Tier.HOUR, LEAST_HOURS_MS), (Tier.MINUTE, LEAST_MINUTES_MS)):
        if step_ms % tier.step_ms == start_ms % tier.step_ms == 0 and (
            end_ms - start_ms >= least_ms or start_ms < raw_from_ms
        ):
            return tier
    return Tier.RAW


def _series_of(state: State, panel: Panel, numbers: Iterable[int]) -> dict[str, Series]:
    return {one.key: one.series for number in numbers for one in panel.columns_of(state, number)}


def _aggregate(timestamps: Integers, values: Floats, wanted: Range) -> Floats:
    """Rows of one host in order of arrival: [rows], [rows, series] to [series, points]."""
    found: Floats = aggregate(
        timestamps,
        values,
        start_ms=wanted.start_ms,
        step_ms=wanted.step_ms,
        points=wanted.points,
        aggregation=wanted.aggregation,
        quantile=wanted.quantile,
    ).T
    return found


def _stepped(intervals: Intervals, wanted: Range) -> Floats:
    """Intervals to [series, points]."""
    return aggregate_intervals(
        intervals,
        start_ms=wanted.start_ms,
        step_ms=wanted.step_ms,
        points=wanted.points,
        aggregation=wanted.aggregation,
    )


def _aggregated(tracks: dict[int, Track], wanted: Range) -> list[SeriesResult]:
    """Every series of the tracks that has rows in the range; those whose rows are sorted by time all at once."""
    results: list[SeriesResult] = []
    together: list[tuple[int, Series, Integers, Floats]] = []
    size = 0
    from_ms, start_ms, end_ms = wanted.from_ms, wanted.start_ms, wanted.end_ms
    for host, track in tracks.items():
        times, values = track.between(from_ms, end_ms)
        if not len(times):
            continue
        found = None if track.increasing else _aggregate(times, values.T, wanted)
        for place, (key, series) in enumerate(track.columns.items()):
            first, last = track.seen[key]
            if last < start_ms or first >= end_ms:
                continue
            if found is not None:
                results.append(SeriesResult(host, series, found[place]))
            else:
                together.append((host, series, times, values[place]))
                size += len(times)
        if size >= VALUES_AT_ONCE:
            results.extend(_runs(together, wanted))
            together, size = [], 0
    return results + _runs(together, wanted)


def _runs(together: Sequence[tuple[int, Series, Integers, Floats]], wanted: Range) -> list[SeriesResult]:
    if not together:
        return []
    lengths = np.array([len(one[2]) for one in together])
    values = np.concatenate([one[3] for one in together])
    if wanted.points == 1 and wanted.aggregation not in GROWTH:
        found = reduce_runs(values, lengths, wanted.aggregation, wanted.quantile)[:, None]
    else:
        found = aggregate_runs(
            np.concatenate([one[2] for one in together]),
            values,
            lengths,
            start_ms=wanted.start_ms,
            step_ms=wanted.step_ms,
            points=wanted.points,
            aggregation=wanted.aggregation,
            quantile=wanted.quantile,
        )
    return [SeriesResult(one[0], one[1], row) for one, row in zip(together, found, strict=True)]
