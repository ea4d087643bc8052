"""The last minutes of single series, and rates of counters. Fed by live rows and by range queries alike."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from cybercorp.tui.state.charts import Column

WINDOW_MS = 300_000
_KEEP_MS = WINDOW_MS + 15_000
_HOLD = 2.5  # a value stands for its neighbours in time up to this many sampling intervals


def _time_of(point: tuple[int, float | None]) -> int:
    return point[0]


class Track:
    """Values of one series in order of time, bounded to a little more than the window."""

    __slots__ = ("_times", "_values")

    def __init__(self) -> None:
        self._times: list[int] = []
        self._values: list[float | None] = []

    def __len__(self) -> int:
        return len(self._times)

    @property
    def last(self) -> float | None:
        """The newest value; None where there is none or it is unknown."""
        return self._values[-1] if self._values else None

    @property
    def last_ms(self) -> int | None:
        """The time of the newest value."""
        return self._times[-1] if self._times else None

    @property
    def first_ms(self) -> int | None:
        """The time of the oldest value kept."""
        return self._times[0] if self._times else None

    def append(self, timestamp_ms: int, value: float | None) -> None:
        """Add the newest value. A clock that stepped back drops what it now calls the future."""
        if self._times and timestamp_ms <= self._times[-1]:
            keep = bisect_left(self._times, timestamp_ms)
            del self._times[keep:], self._values[keep:]
        self._times.append(timestamp_ms)
        self._values.append(value if value is not None and math.isfinite(value) else None)
        oldest = timestamp_ms - _KEEP_MS
        if self._times[0] < oldest:
            # Cut in blocks: deleting one entry from the front of a list every second moves all the others.
            drop = bisect_left(self._times, oldest)
            if drop >= 64 or len(self._times) < 64:
                del self._times[:drop], self._values[:drop]

    def fill(self, points: Iterable[tuple[int, float | None]], *, step_ms: int = 1000) -> None:
        """Put history into the holes: what was before the first live row, and what a cut connection missed.

        A point nearer than `step_ms` to a value that is there says the same moment less exactly: it is left out.
        """
        times, values = self._times, self._values
        missing: list[tuple[int, float | None]] = []
        for timestamp_ms, value in points:
            if value is None or not math.isfinite(value):
                continue
            after = bisect_left(times, timestamp_ms)
            near_after = after < len(times) and times[after] - timestamp_ms < step_ms
            if not near_after and (after == 0 or timestamp_ms - times[after - 1] >= step_ms):
                missing.append((timestamp_ms, value))
        if missing:
            merged = sorted([*zip(times, values, strict=True), *missing], key=_time_of)
            self._times = [timestamp_ms for timestamp_ms, _ in merged]
            self._values = [value for _, value in merged]

    def between(self, start_ms: int, last_ms: int) -> Track:
        """The values from one instant to another, both included, as a track of its own."""
        low, high = bisect_left(self._times, start_ms), bisect_right(self._times, last_ms)
        cut = Track()
        cut._times, cut._values = self._times[low:high], self._values[low:high]
        return cut

    def at(self, timestamp_ms: int, *, within_ms: int = 15_000) -> float | None:
        """The value known at an instant: the newest not after it, and not older than `within_ms`."""
        index = bisect_right(self._times, timestamp_ms) - 1
        if index < 0 or timestamp_ms - self._times[index] > within_ms:
            return None
        return self._values[index]

    def columns(
        self, end_ms: int, count: int, *, window_ms: int = WINDOW_MS, interval_ms: int = 1000
    ) -> list[Column | None]:
        """The window that ends at `end_ms` as `count` columns of smallest, average and largest value, oldest first.

        Columns are aligned to absolute time, so a chart moves by whole columns and its past never changes shape. A
        column without samples repeats its predecessor while the gap is one of sampling, and is None when it is a hole.
        """
        if count <= 0:
            return []
        step = max(window_ms / count, 1.0)
        newest = math.floor(end_ms / step)
        oldest = newest - count + 1
        columns: list[Column | None] = [None] * count
        index = bisect_left(self._times, math.ceil(oldest * step - _HOLD * interval_ms))
        times, values = self._times, self._values
        total = len(times)
        held: float | None = None
        held_ms = -math.inf
        reach = _HOLD * interval_ms
        for position in range(count):
            end = (oldest + position + 1) * step
            seen: list[float] = []
            while index < total and times[index] < end:
                one = values[index]
                if one is not None and times[index] >= end - step:
                    seen.append(one)
                held, held_ms = one, times[index]
                index += 1
            if seen:
                columns[position] = Column(min(seen), sum(seen) / len(seen), max(seen))
            elif held is not None and end - step - held_ms <= reach:
                columns[position] = Column(held, held, held)
        return columns

    def largest(self, end_ms: int, *, window_ms: int = WINDOW_MS) -> float | None:
        """The largest known value of the window; None where nothing is known."""
        start = bisect_left(self._times, end_ms - window_ms)
        return max((one for one in self._values[start:] if one is not None), default=None)

    def values(
        self, end_ms: int, count: int, *, window_ms: int = WINDOW_MS, interval_ms: int = 1000
    ) -> list[float | None]:
        """The largest value of each of `count` columns, for a sparkline."""
        return [
            one.high if one else None
            for one in self.columns(end_ms, count, window_ms=window_ms, interval_ms=interval_ms)
        ]


class CounterRates:
    """Growth per second of counters between two rows. A counter that fell was reset: what it shows is its growth."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, float]] = {}

    def clear(self) -> None:
        """Forget all readings, after the catalogue changed its slots."""
        self._last.clear()

    def read(self, slot: int, timestamp_ms: int, value: float) -> float | None:
        """The rate since the last reading of `slot`; None in the first one and while nothing is known."""
        if not math.isfinite(value) or value < 0:
            return None
        before = self._last.get(slot)
        self._last[slot] = (timestamp_ms, value)
        if before is None or timestamp_ms <= before[0]:
            return None
        growth = value - before[1]
        return (growth if growth >= 0 else value) * 1000 / (timestamp_ms - before[0])
