"""When to sample: drift-free ticks on the monotonic clock, aligned to whole intervals of the wall clock.

A tick that comes too late is skipped, never made up for. A set wall clock and a suspended machine are noticed and told
apart; the ticks are aligned anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from cybercorp.core.clock import Clock

STEP_MS = 500  # a wall clock that moves further than this against the monotonic one was set, not disciplined
_ALIGN_MS = 5
_ON_TIME_MS = 20


class Tick(NamedTuple):
    """One due sample. `timestamp_ms` is the wall clock, the whole interval where the tick is on time."""

    timestamp_ms: int
    skipped: int
    stepped_ms: int  # by how much the wall clock was set since the last tick, 0: it was not
    slept_s: float  # how long the machine was suspended since the last tick


def suspended_s() -> float:
    """Seconds this machine has been suspended since boot; 0 where the system does not tell (Linux tells)."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    if boottime is None:
        return 0.0
    return time.clock_gettime(boottime) - time.clock_gettime(time.CLOCK_MONOTONIC)


class Schedule:
    """Ticks every `interval_ms`."""

    def __init__(self, interval_ms: int, clock: Clock, suspended: Callable[[], float] = suspended_s) -> None:
        self._interval_ms = interval_ms
        self._clock = clock
        self._suspended = suspended
        self._asleep_s = suspended()
        self._offset_ms = self._wall_offset()
        self._next = self._aligned()

    def wait_s(self) -> float:
        """Seconds until the next tick is due, 0 when it is."""
        return max(0.0, self._next - self._clock.monotonic())

    def due(self) -> Tick | None:
        """The tick that is due now, None when none is."""
        now = self._clock.monotonic()
        if now < self._next:
            return None
        interval_s = self._interval_ms / 1000
        skipped = int((now - self._next) / interval_s)
        self._next += (skipped + 1) * interval_s
        stepped_ms, slept_s = self._look_at_clocks()
        return Tick(self._stamp(), skipped, stepped_ms, slept_s)

    def _look_at_clocks(self) -> tuple[int, float]:
        asleep_s = self._suspended()
        slept_s = asleep_s - self._asleep_s
        self._asleep_s = asleep_s
        offset_ms = self._wall_offset()
        moved_ms = offset_ms - self._offset_ms
        if abs(moved_ms) < _ALIGN_MS:
            return 0, 0.0
        self._offset_ms = offset_ms
        self._next = self._aligned()
        stepped_ms = moved_ms - slept_s * 1000
        return (round(stepped_ms) if abs(stepped_ms) >= STEP_MS else 0), (slept_s if slept_s >= 1 else 0.0)

    def _stamp(self) -> int:
        now_ms = self._clock.now_ms()
        whole = round(now_ms / self._interval_ms) * self._interval_ms
        # A fixed grid makes timestamps free to store; whoever is late says so honestly.
        return whole if abs(now_ms - whole) <= min(_ON_TIME_MS, self._interval_ms // 10) else now_ms

    def _wall_offset(self) -> float:
        return self._clock.now_ms() - self._clock.monotonic() * 1000

    def _aligned(self) -> float:
        """The monotonic time of the next whole interval of the wall clock."""
        rest_ms = self._interval_ms - self._clock.now_ms() % self._interval_ms
        return self._clock.monotonic() + rest_ms / 1000
