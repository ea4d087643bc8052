"""The CPU of every process over the last minute in which somebody watched."""

from __future__ import annotations

import math
from collections import deque

from cybercorp.protocol.processes import ProcessTable

HISTORY_MS = 60_000
_HOLD_MS = 2_500  # a step shorter than the interval of the tables repeats its predecessor
_TICKS = 240

ProcessKey = tuple[int, int]  # (pid, started_at_ms): names a process for its whole life


class Activity:
    """Moments in which a process worked. Of 5,000 processes a few hundred ever do, and only those are kept."""

    def __init__(self) -> None:
        self._busy: dict[ProcessKey, deque[tuple[int, float]]] = {}
        self._ticks: deque[int] = deque(maxlen=_TICKS)

    def add(self, table: ProcessTable) -> None:
        """Take in a live table. A clock that stepped back begins anew."""
        now = table.timestamp_ms
        if self._ticks and now <= self._ticks[-1]:
            if now == self._ticks[-1]:
                return
            self._ticks.clear()
            self._busy.clear()
        self._ticks.append(now)
        oldest = now - HISTORY_MS - 5_000
        while self._ticks[0] < oldest:
            self._ticks.popleft()
        for pid, started, cpu in zip(table.pid, table.started_at_ms, table.cpu, strict=True):
            if cpu is not None and cpu > 0:
                self._busy.setdefault((pid, started), deque(maxlen=_TICKS)).append((now, cpu))
        if len(self._ticks) % 16 == 0:
            for key in [key for key, seen in self._busy.items() if seen[-1][0] < oldest]:
                del self._busy[key]

    def steps(self, key: ProcessKey, now_ms: int, count: int, *, window_ms: int = HISTORY_MS) -> list[float | None]:
        """The largest CPU (ratio of a core) in each of `count` steps up to `now_ms`; None where nobody watched."""
        step = window_ms / count
        start = now_ms - window_ms
        values: list[float | None] = [None] * count
        for tick in self._ticks:
            if start < tick <= now_ms:
                values[min(int((tick - start) / step), count - 1)] = 0.0
        for tick, cpu in self._busy.get(key, ()):
            if start < tick <= now_ms:
                position = min(int((tick - start) / step), count - 1)
                values[position] = max(values[position] or 0.0, cpu)
        reach = math.ceil(_HOLD_MS / step)
        for index in range(1, count):
            before, after = values[index - 1], values[index : index + 1 + reach]
            if values[index] is None and before is not None and any(one is not None for one in after):
                values[index] = before
        began = key[1]
        return [None if start + (index + 1) * step < began else one for index, one in enumerate(values)]
