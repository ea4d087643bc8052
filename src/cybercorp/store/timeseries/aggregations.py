"""Samples of a step to one number, vectorised. Pure numpy: no store, no clock.

NaN and infinities are no values: they never poison a neighbour. A step without a value is NaN, and so is a
result that does not fit into a float64.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cybercorp.protocol.metrics import Aggregation
from cybercorp.store.timeseries.rows import Floats, Integers

LOOKBACK_MS = 300_000
"""A rate starts from the sample before the step when that is at most so much older (or a step, if that is more)."""


def aggregate(
    timestamps: Integers,
    values: Floats,
    *,
    start_ms: int,
    step_ms: int,
    points: int,
    aggregation: Aggregation,
    quantile: float | None = None,
) -> Floats:
    """Rows in order of arrival to steps: `values` [rows, series] at `timestamps` [rows] become [points, series].

    Of rows with the same timestamp the one that arrived last counts. Point i covers
    `[start_ms + i*step_ms, start_ms + (i+1)*step_ms)`. Rows outside are left out, but for the one a rate starts from.
    """
    timestamps, values = _without_replaced(timestamps, values)
    with np.errstate(over="ignore", invalid="ignore"):
        if aggregation is Aggregation.RATE:
            result = _rates(timestamps, values, start_ms, step_ms, points)
        else:
            result = _steps(timestamps, values, start_ms, step_ms, points, aggregation, quantile)
    result[~np.isfinite(result)] = np.nan
    return result


def _without_replaced(timestamps: Integers, values: Floats) -> tuple[Integers, Floats]:
    """Drop every row that a later one with the same timestamp replaces; the order of arrival stays."""
    if len(timestamps) < 2 or (timestamps[1:] > timestamps[:-1]).all():
        return timestamps, values
    order = np.argsort(timestamps, kind="stable")
    ordered = timestamps[order]
    replaced = order[:-1][ordered[1:] == ordered[:-1]]
    if not len(replaced):
        return timestamps, values
    keep = np.ones(len(timestamps), dtype=bool)
    keep[replaced] = False
    return timestamps[keep], values[keep]


def _steps(
    timestamps: Integers,
    values: Floats,
    start_ms: int,
    step_ms: int,
    points: int,
    aggregation: Aggregation,
    quantile: float | None,
) -> Floats:
    if len(timestamps) > 1 and not (timestamps[1:] > timestamps[:-1]).all():
        order = np.argsort(timestamps, kind="stable")
        timestamps, values = timestamps[order], values[order]
    low, high = np.searchsorted(timestamps, [start_ms, start_ms + points * step_ms]).tolist()
    result = np.full((points, values.shape[1]), np.nan)
    if low == high:
        return result
    values = values[low:high]
    places = (timestamps[low:high] - start_ms) // step_ms
    firsts = np.flatnonzero(np.diff(places, prepend=-1))  # the first row of each step that has rows
    filled = places[firsts]
    known = np.isfinite(values)
    if aggregation is Aggregation.QUANTILE:
        half = 0.5 if quantile is None else quantile
        for column in range(values.shape[1]):
            mask = known[:, column]
            result[:, column] = _quantiles(places[mask], values[mask, column], points, half)
        return result
    result[filled] = _reduced(values, known, firsts, aggregation)
    return result


def _reduced(values: Floats, known: NDArray[np.bool_], firsts: Integers, aggregation: Aggregation) -> Floats:
    everything = bool(known.all())
    counts = np.add.reduceat(known, firsts, axis=0, dtype=np.float64)
    match aggregation:
        case Aggregation.COUNT:
            found = counts
        case Aggregation.MIN:
            found = np.minimum.reduceat(values if everything else np.where(known, values, np.inf), firsts, axis=0)
        case Aggregation.MAX:
            found = np.maximum.reduceat(values if everything else np.where(known, values, -np.inf), firsts, axis=0)
        case Aggregation.LAST:
            rows = np.where(known, np.arange(len(values))[:, None], -1)
            last = np.maximum.reduceat(rows, firsts, axis=0)
            found = np.take_along_axis(values, np.maximum(last, 0), axis=0)
        case _:
            found = np.add.reduceat(values if everything else np.where(known, values, 0.0), firsts, axis=0)
            if aggregation is Aggregation.AVG:
                found = found / np.maximum(counts, 1)
    return np.where(counts > 0, found, np.nan)


def _quantiles(places: Integers, values: Floats, points: int, quantile: float) -> Floats:
    """Linear between the two nearest ranks, as numpy's default and PromQL's quantile_over_time."""
    result = np.full(points, np.nan)
    if not len(values):
        return result
    values = values[np.lexsort((values, places))]
    firsts = np.flatnonzero(np.diff(places, prepend=-1))
    counts = np.diff(firsts, append=len(values))
    rank = quantile * (counts - 1)
    lower = np.floor(rank).astype(np.int64)
    upper = np.minimum(lower + 1, counts - 1)
    fraction = rank - lower
    result[places[firsts]] = values[firsts + lower] * (1 - fraction) + values[firsts + upper] * fraction
    return result


def _rates(timestamps: Integers, values: Floats, start_ms: int, step_ms: int, points: int) -> Floats:
    result = np.full((points, values.shape[1]), np.nan)
    reach = (timestamps >= start_ms - max(LOOKBACK_MS, step_ms)) & (timestamps < start_ms + points * step_ms)
    if not reach.all():
        timestamps, values = timestamps[reach], values[reach]
    for column in range(values.shape[1]):
        known = np.isfinite(values[:, column]) & (values[:, column] >= 0)
        result[:, column] = _rate(timestamps[known], values[known, column], start_ms, step_ms, points)
    return result


def _rate(timestamps: Integers, values: Floats, start_ms: int, step_ms: int, points: int) -> Floats:
    """Growth between neighbours in order of *arrival*, divided by the time between them, in the step of the later one.

    A counter only grows in order of arrival: after its host's clock was set back, sorting by time would mix two
    stretches and make each change of stretch look like a reset. A pair that goes back in time, or over a gap, tells
    nothing. A value below its predecessor is a reset to zero in between, as Prometheus reads it.
    """
    result = np.full(points, np.nan)
    elapsed = np.diff(timestamps)
    growth = np.diff(values)
    growth = np.where(growth < 0, values[1:], growth)
    places = (timestamps[1:] - start_ms) // step_ms
    usable = (elapsed > 0) & (elapsed <= max(LOOKBACK_MS, step_ms)) & (places >= 0) & (places < points)
    if not usable.any():
        return result
    places = places[usable]
    total = np.bincount(places, weights=growth[usable], minlength=points)
    covered = np.bincount(places, weights=elapsed[usable], minlength=points)
    filled = covered > 0
    result[filled] = total[filled] / covered[filled] * 1000.0
    return result
