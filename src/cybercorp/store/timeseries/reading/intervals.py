"""Rows to exact intervals: count, sum, minimum, maximum, last value and growth of each series. Pure numpy.

NaN and infinities are no values; of rows with one timestamp the one that arrived last counts. A sum is compensated:
the rounding error of every addition, in order of time, is added up apart and added at the end, which gives the
correctly rounded sum in all ordinary cases. Growth pairs neighbours in order of arrival, as `aggregations` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cybercorp.store.timeseries.reading.aggregations import LOOKBACK_MS, is_increasing, without_replaced
from cybercorp.store.timeseries.rows import Floats, Integers

Flags = NDArray[np.bool_]


class Intervals(NamedTuple):
    """Intervals that have rows, in order of time. Those of a series are [intervals, series].

    Where `counts` is 0 the sum is 0 and minimum, maximum and last are NaN. `growth` (of a counter, resets repaired) and
    `elapsed` (the milliseconds over which it grew) reach back to the row before; of a gauge's values they are NaN.
    """

    starts: Integers
    rows: Integers
    last_at: Integers
    counts: Floats
    sum: Floats
    min: Floats
    max: Floats
    last: Floats
    growth: Floats
    elapsed: Floats

    def taken(self, chosen: Flags) -> Intervals:
        """Some of the intervals."""
        return Intervals._make(one[chosen] for one in self)


def no_intervals(series: int) -> Intervals:
    """Nothing of so many series."""
    none, empty = np.empty(0, dtype=np.int64), np.empty((0, series))
    return Intervals(none, none, none, empty, empty, empty, empty, empty, empty, empty)


def roll_up(
    timestamps: Integers, values: Floats, counters: Flags, *, step_ms: int, start_ms: int, end_ms: int
) -> Intervals:
    """Rows in order of arrival, `values` [rows, series], to the intervals of `[start_ms, end_ms)`.

    Both are multiples of `step_ms`. Rows before the range only tell what a counter grew from.
    """
    timestamps, values = without_replaced(timestamps, values)
    inside = (timestamps >= start_ms) & (timestamps < end_ms)
    if not inside.any():
        return no_intervals(values.shape[1])
    times, chosen = (timestamps, values) if inside.all() else (timestamps[inside], values[inside])
    if not is_increasing(times):
        order = np.argsort(times, kind="stable")
        times, chosen = times[order], chosen[order]
    places = times // step_ms
    firsts = np.flatnonzero(np.diff(places, prepend=places[0] - 1))
    rows = np.diff(firsts, append=len(times))
    starts = places[firsts] * step_ms
    known = np.isfinite(chosen)
    everything = bool(known.all())
    if everything:
        count = np.repeat(rows.astype(np.float64)[:, None], values.shape[1], axis=1)
    else:
        count = np.add.reduceat(known, firsts, axis=0, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        total = _sums(chosen if everything else np.where(known, chosen, 0.0), firsts, rows)
        growth, elapsed = _growths(timestamps, values, counters, starts, step_ms)
    low = np.minimum.reduceat(chosen if everything else np.where(known, chosen, np.inf), firsts, axis=0)
    high = np.maximum.reduceat(chosen if everything else np.where(known, chosen, -np.inf), firsts, axis=0)
    if everything:
        last = chosen[firsts + rows - 1]
    else:
        newest = np.maximum.reduceat(np.where(known, np.arange(len(times))[:, None], -1), firsts, axis=0)
        last = np.take_along_axis(chosen, np.maximum(newest, 0), axis=0)
        empty = count == 0
        low[empty] = high[empty] = last[empty] = np.nan
    return Intervals(starts, rows, times[firsts + rows - 1], count, total, low, high, last, growth, elapsed)


def combine(parts: Sequence[Intervals], step_ms: int) -> Intervals:
    """Intervals of disjoint rows, of the same series, as longer ones of `step_ms`; sums are compensated again."""
    parts = [part for part in parts if len(part.starts)] or list(parts[:1])
    joined = Intervals(
        *(np.concatenate(column) if len(parts) > 1 else column[0] for column in zip(*parts, strict=True))
    )
    starts = joined.starts // step_ms * step_ms
    if len(starts) < 2 and (starts == joined.starts).all():
        return joined
    if not is_increasing(starts):
        order = np.lexsort((joined.last_at, starts))
        joined, starts = Intervals._make(one[order] for one in joined), starts[order]
    elif (starts == joined.starts).all():
        return joined
    firsts = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
    lengths = np.diff(firsts, append=len(starts))
    has = joined.counts > 0
    newest = np.maximum.reduceat(np.where(has, np.arange(len(starts))[:, None], -1), firsts, axis=0)
    last = np.take_along_axis(joined.last, np.maximum(newest, 0), axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        total = _sums(joined.sum, firsts, lengths)
        growth, elapsed = (
            np.add.reduceat(np.where(has, one, np.nan_to_num(one)), firsts, axis=0)
            for one in (joined.growth, joined.elapsed)
        )
    return Intervals(
        starts[firsts],
        np.add.reduceat(joined.rows, firsts),
        np.maximum.reduceat(joined.last_at, firsts),
        np.add.reduceat(joined.counts, firsts, axis=0),
        total,
        np.fmin.reduceat(joined.min, firsts, axis=0),
        np.fmax.reduceat(joined.max, firsts, axis=0),
        np.where(newest >= 0, last, np.nan),
        growth,
        elapsed,
    )


def _sums(values: Floats, firsts: Integers, lengths: Integers) -> Floats:
    """Compensated sums of runs of rows (Knuth's two-sum of each addition), for all series at once."""
    total = values[firsts] + 0.0
    lost = np.zeros_like(total)
    for at in range(1, int(lengths.max())):
        active = lengths > at
        if active.all():
            added = values[firsts + at]
            summed = total + added
            part = summed - total
            lost += (total - (summed - part)) + (added - part)
            total = summed
        else:
            places = np.flatnonzero(active)
            before, added = total[places], values[firsts[places] + at]
            summed = before + added
            part = summed - before
            lost[places] += (before - (summed - part)) + (added - part)
            total[places] = summed
    return np.where(np.isfinite(total), total + lost, total)


def _growths(
    timestamps: Integers, values: Floats, counters: Flags, starts: Integers, step_ms: int
) -> tuple[Floats, Floats]:
    growth = np.full((len(starts), values.shape[1]), np.nan)
    elapsed = np.full_like(growth, np.nan)
    reach = timestamps >= starts[0] - LOOKBACK_MS
    if not reach.all():
        timestamps, values = timestamps[reach], values[reach]
    known = np.isfinite(values) & (values >= 0)
    whole = counters & known.all(axis=0)
    if whole.any():
        growth[:, whole], elapsed[:, whole] = _grown(timestamps, values[:, whole], starts, step_ms)
    for column in np.flatnonzero(counters & ~whole).tolist():
        mask = known[:, column]
        found = _grown(timestamps[mask], values[mask, column : column + 1], starts, step_ms)
        growth[:, column : column + 1], elapsed[:, column : column + 1] = found
    return growth, elapsed


def _grown(timestamps: Integers, values: Floats, starts: Integers, step_ms: int) -> tuple[Floats, Floats]:
    """Growth and milliseconds of every interval, for series that have a value in every row."""
    growth = np.zeros((len(starts), values.shape[1]))
    elapsed = np.zeros_like(growth)
    took = np.diff(timestamps)
    usable = np.flatnonzero((took > 0) & (took <= LOOKBACK_MS) & (timestamps[1:] >= starts[0]))
    if not len(usable):
        return growth, elapsed
    places = np.searchsorted(starts, timestamps[usable + 1] // step_ms * step_ms)
    inside = (places < len(starts)) & (
        starts[np.minimum(places, len(starts) - 1)] == timestamps[usable + 1] // step_ms * step_ms
    )
    usable, places = usable[inside], places[inside]
    if not len(usable):
        return growth, elapsed
    if len(places) > 1 and (places[1:] < places[:-1]).any():
        order = np.argsort(places, kind="stable")
        usable, places = usable[order], places[order]
    firsts = np.flatnonzero(np.diff(places, prepend=-1))
    lasts = np.append(firsts[1:], len(places)) - 1
    # One subtraction where the pairs follow each other without a reset: exact where each change is, and always the
    # difference of the values that are kept beside it.
    through = values[usable[lasts] + 1] - values[usable[firsts]]
    follow = usable[lasts] - usable[firsts] == lasts - firsts
    reset = np.diff(values, axis=0) < 0
    if reset.any() or not follow.all():
        reset = reset[usable]
        change = np.where(reset, values[usable + 1], values[usable + 1] - values[usable])
        smooth = follow[:, None] & (np.add.reduceat(reset, firsts, axis=0, dtype=np.int64) == 0)
        through = np.where(smooth, through, np.add.reduceat(change, firsts, axis=0))
    growth[places[firsts]] = through
    elapsed[places[firsts]] = np.add.reduceat(took[usable], firsts)[:, None]
    return growth, elapsed
