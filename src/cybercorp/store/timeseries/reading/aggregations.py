"""Samples of a step to one number, vectorised. Pure numpy: no store, no clock.

NaN and infinities are no values: they never poison a neighbour. A step without a value is NaN, and so is a
result that does not fit into a float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cybercorp.protocol.metrics import Aggregation
from cybercorp.store.timeseries.rows import Floats, Integers

LOOKBACK_MS = 300_000
"""A rate starts from the sample before the step when that is at most so much older."""

GROWTH = frozenset({Aggregation.RATE, Aggregation.INCREASE})
"""What compares neighbours instead of values, and so needs the sample before the range as well."""

_INT32 = 1 << 31
_ZERO = np.zeros(1, dtype=np.int64)

AnyIntegers = NDArray[np.signedinteger[Any]]


def reach_ms(aggregation: Aggregation) -> int:
    """How much before its range an aggregation looks."""
    return LOOKBACK_MS if aggregation in GROWTH else 0


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
    count = values.shape[1]
    timestamps, values = without_replaced(timestamps, values)
    if aggregation not in GROWTH and not is_increasing(timestamps):
        order = np.argsort(timestamps, kind="stable")
        timestamps, values = timestamps[order], values[order]
    result = aggregate_runs(
        np.tile(timestamps, count),
        values.T.ravel(),
        np.full(count, len(timestamps)),
        start_ms=start_ms,
        step_ms=step_ms,
        points=points,
        aggregation=aggregation,
        quantile=quantile,
    )
    return result.T


def aggregate_runs(
    timestamps: Integers,
    values: Floats,
    lengths: Integers,
    *,
    start_ms: int,
    step_ms: int,
    points: int,
    aggregation: Aggregation,
    quantile: float | None = None,
) -> Floats:
    """Many series at once: the first `lengths[0]` rows are the first one's, and so on; [series, points].

    The rows of each are sorted by time without replaced ones; for growth they are in order of arrival instead.
    """
    result = np.full(len(lengths) * points, np.nan)
    known = np.isfinite(values)
    small = len(lengths) * points < _INT32 and points * step_ms < _INT32  # half the width, four times the speed
    low, high = start_ms - reach_ms(aggregation), start_ms + points * step_ms
    if len(timestamps) and not (low <= timestamps.min() and timestamps.max() < high):
        known &= (timestamps >= low) & (timestamps < high)
    if aggregation in GROWTH:
        known &= values >= 0
    series: AnyIntegers = np.repeat(np.arange(len(lengths), dtype=np.int32 if small else np.int64), lengths)
    if not known.all():
        timestamps, values, series = timestamps[known], values[known], series[known]
    if len(values):
        with np.errstate(over="ignore", invalid="ignore"):
            if aggregation in GROWTH:
                _grow(result, timestamps, values, series, start_ms, step_ms, points, aggregation)
            else:
                elapsed = timestamps - start_ms
                steps: AnyIntegers = (elapsed.astype(np.int32) if small else elapsed) // step_ms
                places: AnyIntegers = series * points + steps
                firsts = np.concatenate([_ZERO, np.flatnonzero(places[1:] != places[:-1]) + 1])
                result[places[firsts]] = reduced(values, firsts, aggregation, quantile)
        result[~np.isfinite(result)] = np.nan
    return result.reshape(len(lengths), points)


def reduce_runs(values: Floats, lengths: Integers, aggregation: Aggregation, quantile: float | None = None) -> Floats:
    """Many series at once, the whole of each to one number: [series]. Rows as in `aggregate_runs`, not for growth."""
    result = np.full(len(lengths), np.nan)
    known = np.isfinite(values)
    if not known.all():
        series = np.repeat(np.arange(len(lengths)), lengths)
        lengths = np.bincount(series[known], minlength=len(lengths))
        values = values[known]
    filled = np.flatnonzero(lengths)
    if len(filled):
        firsts = (np.cumsum(lengths) - lengths)[filled]
        with np.errstate(over="ignore", invalid="ignore"):
            result[filled] = reduced(values, firsts, aggregation, quantile)
        result[~np.isfinite(result)] = np.nan
    return result


def reduce_edges(
    values: Floats, times: Sequence[Integers], edges: Integers, aggregation: Aggregation, quantile: float | None = None
) -> Floats:
    """Many series of finite values at once, cut where their times reach `edges` [points + 1]: [series, points].

    The rows of each are sorted by time and lie between the first and the last edge. Not for growth. Looking for the
    edges costs less than placing every row, where there are many rows a step.
    """
    bounds = np.empty((len(times), len(edges)), dtype=np.int64)
    for place, one in enumerate(times):
        bounds[place] = one.searchsorted(edges)
    lengths = bounds[:, -1]
    filled = np.flatnonzero(np.diff(bounds, axis=1))
    result = np.full(len(times) * (len(edges) - 1), np.nan)
    if len(filled):
        firsts = (bounds[:, :-1] + (np.cumsum(lengths) - lengths)[:, None]).ravel()[filled]
        with np.errstate(over="ignore", invalid="ignore"):
            result[filled] = reduced(values, firsts, aggregation, quantile)
        result[~np.isfinite(result)] = np.nan
    return result.reshape(len(times), -1)


def is_increasing(timestamps: Integers) -> bool:
    """Whether every row is later than the one before."""
    return len(timestamps) < 2 or bool((timestamps[1:] > timestamps[:-1]).all())


def without_replaced(timestamps: Integers, values: Floats) -> tuple[Integers, Floats]:
    """Drop every row that a later one with the same timestamp replaces; the order of arrival stays."""
    if is_increasing(timestamps):
        return timestamps, values
    order = np.argsort(timestamps, kind="stable")
    ordered = timestamps[order]
    replaced = order[:-1][ordered[1:] == ordered[:-1]]
    if not len(replaced):
        return timestamps, values
    keep = np.ones(len(timestamps), dtype=bool)
    keep[replaced] = False
    return timestamps[keep], values[keep]


def reduced(values: Floats, firsts: Integers, aggregation: Aggregation, quantile: float | None) -> Floats:
    """Values, those of a step beside each other from `firsts[i]` on, to one for each step."""
    counts = np.diff(firsts, append=len(values))
    found: Floats
    match aggregation:
        case Aggregation.COUNT:
            found = counts.astype(np.float64)
        case Aggregation.MIN:
            found = np.minimum.reduceat(values, firsts)
        case Aggregation.MAX:
            found = np.maximum.reduceat(values, firsts)
        case Aggregation.LAST:
            found = values[firsts + counts - 1]
        case Aggregation.QUANTILE:
            ordered = values[np.lexsort((values, np.repeat(np.arange(len(firsts)), counts)))]
            found = _ranked(ordered, firsts, counts, 0.5 if quantile is None else quantile)
        case Aggregation.SUM:
            found = np.add.reduceat(values, firsts)
        case _:
            found = np.add.reduceat(values, firsts) / counts
    return found


def _ranked(values: Floats, firsts: Integers, counts: Integers, quantile: float) -> Floats:
    """Linear between the two nearest ranks, as numpy's default and PromQL's quantile_over_time."""
    rank = quantile * (counts - 1)
    lower = np.floor(rank).astype(np.int64)
    upper = np.minimum(lower + 1, counts - 1)
    fraction = rank - lower
    found: Floats = values[firsts + lower] * (1 - fraction) + values[firsts + upper] * fraction
    return found


def _grow(
    result: Floats,
    timestamps: Integers,
    values: Floats,
    series: AnyIntegers,
    start_ms: int,
    step_ms: int,
    points: int,
    aggregation: Aggregation,
) -> None:
    """Growth between neighbours in order of *arrival*, in the step of the later one; a rate: by the time between them.

    A counter only grows in order of arrival: after its host's clock was set back, sorting by time would mix two
    stretches and make each change of stretch look like a reset. A pair that goes back in time, or over a gap, tells
    nothing. A value below its predecessor is a reset to zero in between, as Prometheus reads it.
    """
    elapsed = np.diff(timestamps)
    growth = np.diff(values)
    growth = np.where(growth < 0, values[1:], growth)
    steps = (timestamps[1:] - start_ms) // step_ms
    usable = (elapsed > 0) & (elapsed <= LOOKBACK_MS) & (steps >= 0) & (series[1:] == series[:-1])
    places = (series[1:] * points + steps)[usable]
    covered = np.bincount(places, weights=elapsed[usable], minlength=len(result))
    total = np.bincount(places, weights=growth[usable], minlength=len(result))
    filled = covered > 0
    result[filled] = total[filled] / covered[filled] * 1000.0 if aggregation is Aggregation.RATE else total[filled]
