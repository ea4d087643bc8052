"""Axes of a plot: round values by the unit's own steps, and times at round moments of the local clock."""

from __future__ import annotations

import datetime as dt
import math
from typing import NamedTuple

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_BINARY_STEPS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
_TIME_STEPS_S = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
    86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000,
)  # fmt: skip


class Scale(NamedTuple):
    """The range of an axis and the values to write beside it."""

    low: float
    high: float
    ticks: list[float]

    def place(self, value: float) -> float:
        """Where a value stands, 0–1 of the range."""
        return (value - self.low) / (self.high - self.low)


def value_scale(low: float, high: float, unit: str, most_ticks: int) -> Scale:
    """An axis that holds `low`…`high`. It starts at zero unless the values lie far from it; ratios end at 100 %."""
    if low >= 0 and (low < 0.6 * high or high == 0):
        low = 0.0
    if unit == "1" and low == 0 and 0.5 < high <= 1:
        high = 1.0
    if high - low <= max(abs(low), abs(high)) * 1e-9 + 1e-12:
        spread = abs(high) * 0.1
        low, high = (0.0, 1.0) if spread < 1e-12 else (low - spread, high + spread)
    step = _round_step((high - low) / max(most_ticks - 1, 1), binary=unit.startswith("By"))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [number * step for number in range(first, last + 1)]
    return Scale(ticks[0], ticks[-1], ticks)


def time_ticks(start_ms: int, end_ms: int, most_ticks: int) -> list[int]:
    """Round moments of the local clock between two instants, Unix milliseconds."""
    wanted_s = (end_ms - start_ms) / 1000 / max(most_ticks, 1)
    step_ms = next((step for step in _TIME_STEPS_S if step >= wanted_s), _TIME_STEPS_S[-1]) * 1000
    offset = dt.datetime.fromtimestamp(start_ms / 1000).astimezone().utcoffset() or dt.timedelta()
    offset_ms = round(offset.total_seconds() * 1000)
    first = math.ceil((start_ms + offset_ms) / step_ms) * step_ms - offset_ms
    return list(range(first, end_ms + 1, step_ms))


def time_label(moment_ms: int, *, step_ms: int, span_ms: int) -> str:
    """An instant as short as its neighbours allow: seconds where ticks are less than a minute apart, the date later."""
    local = dt.datetime.fromtimestamp(moment_ms / 1000).astimezone()
    if step_ms < 60_000:
        return local.strftime("%H:%M:%S")
    if span_ms <= 86_400_000:
        return local.strftime("%H:%M")
    return local.strftime("%m-%d %H:%M") if step_ms < 86_400_000 else local.strftime("%Y-%m-%d")


def _round_step(raw: float, *, binary: bool) -> float:
    if binary and raw >= 1:
        magnitude = 1024.0 ** math.floor(math.log(raw, 1024))
        return magnitude * next(step for step in _BINARY_STEPS if magnitude * step >= raw * (1 - 1e-9))
    magnitude = 10.0 ** math.floor(math.log10(raw))
    return magnitude * next((step for step in _STEPS if magnitude * step >= raw * (1 - 1e-9)), 10.0)
