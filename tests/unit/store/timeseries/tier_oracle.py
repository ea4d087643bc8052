"""What an interval of a tier holds, in the plainest Python."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from cybercorp.store.timeseries.reading.intervals import Intervals

STEP_MS = 60_000
LOOKBACK_MS = 300_000


def compensated(values: Iterable[float]) -> float:
    """Addition in order, the rounding error of each step added at the end."""
    total = lost = 0.0
    for value in values:
        summed = total + value
        part = summed - total
        lost += (total - (summed - part)) + (value - part)
        total = summed
    return total + lost if math.isfinite(total) else total


def oracle_interval(values: Sequence[float]) -> list[float]:
    """Count, sum, minimum, maximum and last of values in order of time."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return [0.0, 0.0, math.nan, math.nan, math.nan]
    return [float(len(known)), compensated(known), min(known), max(known), known[-1]]


def grown(
    pairs: Iterable[tuple[tuple[int, float], tuple[int, float]]], start_ms: int, step_ms: int = STEP_MS
) -> tuple[float, float]:
    """Growth and milliseconds of the neighbours whose later one is in the interval."""
    up = took = 0.0
    for (before_ms, before), (now_ms, now) in pairs:
        if 0 < now_ms - before_ms <= LOOKBACK_MS and start_ms <= now_ms < start_ms + step_ms:
            up += now - before if now >= before else now
            took += now_ms - before_ms
    return up, took


def assert_intervals(found: Intervals, expected: Intervals) -> None:
    """Equal in every number; the growth of a series without a value means nothing."""
    for name, one, other in zip(Intervals._fields, found, expected, strict=True):
        if name in ("growth", "elapsed"):
            one, other = np.where(found.counts > 0, one, 0.0), np.where(expected.counts > 0, other, 0.0)
        assert np.array_equal(one, other, equal_nan=True), name
