"""The range of a query, and how rows, tracks and intervals become its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.protocol.metrics import Aggregation, Series
from cybercorp.store.timeseries.reading.aggregations import (
    GROWTH,
    aggregate,
    aggregate_runs,
    reach_ms,
    reduce_edges,
    reduce_runs,
)
from cybercorp.store.timeseries.reading.interval_steps import aggregate_intervals
from cybercorp.store.timeseries.reading.intervals import Intervals
from cybercorp.store.timeseries.reading.tracks import Track
from cybercorp.store.timeseries.rows import Floats, Integers, SeriesResult

VALUES_AT_ONCE = 1 << 17
_MANY_ROWS = 4  # of a step


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


def steps_of_rows(timestamps: Integers, values: Floats, wanted: Range) -> Floats:
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


def steps_of_intervals(intervals: Intervals, wanted: Range) -> Floats:
    """Intervals to [series, points]."""
    return aggregate_intervals(
        intervals,
        start_ms=wanted.start_ms,
        step_ms=wanted.step_ms,
        points=wanted.points,
        aggregation=wanted.aggregation,
    )


def steps_of_tracks(tracks: dict[int, Track], wanted: Range) -> list[SeriesResult]:
    """Every series of the tracks that has rows in the range; those whose rows are sorted by time all at once."""
    results: list[SeriesResult] = []
    together: list[tuple[int, Series, Integers, Floats]] = []
    size = 0
    from_ms, start_ms, end_ms = wanted.from_ms, wanted.start_ms, wanted.end_ms
    for host, track in tracks.items():
        times, values = track.between(from_ms, end_ms)
        if not len(times):
            continue
        found = None if track.increasing else steps_of_rows(times, values.T, wanted)
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
    grows = wanted.aggregation in GROWTH
    if wanted.points == 1 and not grows:
        found = reduce_runs(values, lengths, wanted.aggregation, wanted.quantile)[:, None]
    elif len(values) >= _MANY_ROWS * len(together) * wanted.points and not grows and np.isfinite(values).all():
        edges = np.arange(wanted.start_ms, wanted.end_ms + 1, wanted.step_ms, dtype=np.int64)
        found = reduce_edges(values, [one[2] for one in together], edges, wanted.aggregation, wanted.quantile)
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
