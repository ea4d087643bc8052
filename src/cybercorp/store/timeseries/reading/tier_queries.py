"""Queries of a tier: intervals of one host, kept where that is worth it."""

from __future__ import annotations

from collections.abc import Sequence

from cybercorp.protocol.metrics import Aggregation, MetricKind, Series
from cybercorp.store.timeseries.reading.aggregations import GROWTH
from cybercorp.store.timeseries.reading.interval_tracks import IntervalTracks, refreshed
from cybercorp.store.timeseries.reading.intervals import Intervals
from cybercorp.store.timeseries.reading.panels import Panel
from cybercorp.store.timeseries.reading.query_ranges import Range, steps_of_intervals
from cybercorp.store.timeseries.reading.rollups import Tier, read_tier, tier_catalogues
from cybercorp.store.timeseries.reading.tracks import MAX_TRACK_COLUMNS
from cybercorp.store.timeseries.rows import SeriesResult
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import State

WORKING_VALUES = 1 << 20
INTERVALS_BYTES = 32 * 1024**2
LEAST_MINUTES_MS = 3 * 3_600_000
LEAST_HOURS_MS = 4 * 86_400_000
RECENT_MS = 900_000


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


class TierQueries:
    """Any thread may call it that holds the panel's lock."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._intervals = IntervalTracks(INTERVALS_BYTES)

    def query_host(self, state: State, panel: Panel, host: int, wanted: Range, tier: Tier) -> list[SeriesResult] | None:
        """The series of one host; None where intervals cannot tell: the growth of a gauge."""
        start_ms, end_ms = wanted.start_ms, wanted.end_ms
        kept = self._kept_intervals(state, panel, host, wanted, tier)
        if kept is not None:
            return [
                SeriesResult(host, series, row)
                for series, row in zip(kept[0].values(), steps_of_intervals(kept[1], wanted), strict=True)
            ]
        series = panel.series_of(state, tier_catalogues(state, host, tier, start_ms, end_ms))
        if wanted.aggregation in GROWTH and any(one.kind is not MetricKind.COUNTER for one in series.values()):
            return None
        keys = list(series)
        width = max(1, WORKING_VALUES // max(1, (end_ms - start_ms) // tier.step_ms))
        results: list[SeriesResult] = []
        for at in range(0, len(keys), width):
            chosen = keys[at : at + width]
            intervals = read_tier(
                self._session, state, host, tier, lambda one: panel.columns_of(state, one), chosen, start_ms, end_ms
            )
            values = steps_of_intervals(intervals, wanted)
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
        if bounds is None or bounds[1] - wanted.start_ms > 2 * span_ms + RECENT_MS:
            return None

        def series_of(start_ms: int, end_ms: int) -> dict[str, Series]:
            return panel.series_of(state, tier_catalogues(state, host, tier, start_ms, end_ms))

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
