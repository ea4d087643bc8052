"""Intervals of a tier to the steps of a query. Pure numpy; what `aggregations` is for rows."""

from __future__ import annotations

import numpy as np

from cybercorp.protocol.metrics import Aggregation
from cybercorp.store.timeseries.reading.intervals import Intervals
from cybercorp.store.timeseries.rows import Floats, Integers


def aggregate_intervals(
    found: Intervals, *, start_ms: int, step_ms: int, points: int, aggregation: Aggregation
) -> Floats:
    """Intervals in order of time, all inside the range, to [series, points]; NaN where nothing is known.

    `step_ms` is a multiple of the intervals' length. A quantile cannot be told from intervals: ValueError.
    """
    result = np.full((found.counts.shape[1], points), np.nan)
    if not len(found.starts):
        return result
    places = (found.starts - start_ms) // step_ms
    firsts = np.flatnonzero(np.diff(places, prepend=-1))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        made = _joined(found, firsts, aggregation)
    result[:, places[firsts]] = made.T
    result[~np.isfinite(result)] = np.nan
    return result


def _joined(found: Intervals, firsts: Integers, aggregation: Aggregation) -> Floats:
    if aggregation in (Aggregation.RATE, Aggregation.INCREASE):
        growth, elapsed = _added(found.growth, firsts), _added(found.elapsed, firsts)
        grown = growth / elapsed * 1000.0 if aggregation is Aggregation.RATE else growth
        return np.where(elapsed > 0, grown, np.nan)
    counts = _added(found.counts, firsts)
    match aggregation:
        case Aggregation.COUNT:
            made = counts
        case Aggregation.MIN:
            made = np.fmin.reduceat(found.min, firsts, axis=0)
        case Aggregation.MAX:
            made = np.fmax.reduceat(found.max, firsts, axis=0)
        case Aggregation.SUM:
            made = _added(found.sum, firsts)
        case Aggregation.AVG:
            made = _added(found.sum, firsts) / counts
        case Aggregation.LAST:
            rows = np.where(found.counts > 0, np.arange(len(found.starts))[:, None], -1)
            newest = np.maximum.reduceat(rows, firsts, axis=0)
            made = np.take_along_axis(found.last, np.maximum(newest, 0), axis=0)
        case _:
            raise ValueError(f"{aggregation} cannot be told from intervals")
    return np.where(counts > 0, made, np.nan)


def _added(values: Floats, firsts: Integers) -> Floats:
    added: Floats = np.add.reduceat(values, firsts, axis=0)
    return added
