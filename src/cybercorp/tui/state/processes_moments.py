"""Who was busy in each second that somebody watched: the top of every live table of the last five minutes."""

from __future__ import annotations

import heapq
from bisect import bisect_left

from cybercorp.protocol.processes import ProcessTable
from cybercorp.tui.state.processes_table import take

_KEEP_MS = 315_000
_BY_CPU = 15
_BY_MEMORY = 5


class Moments:
    """A short memory of process tables, so that pointing at a chart answers at once and to the second."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._tables: list[ProcessTable] = []

    def add(self, table: ProcessTable) -> None:
        """Keep the top of a live table. A clock that stepped back forgets what it now calls the future."""
        keep = bisect_left(self._times, table.timestamp_ms)
        del self._times[keep:], self._tables[keep:]
        every = range(len(table.pid))
        top = set(heapq.nlargest(_BY_CPU, every, key=lambda row: table.cpu[row] or 0.0))
        top.update(heapq.nlargest(_BY_MEMORY, every, key=table.rss_bytes.__getitem__))
        self._times.append(table.timestamp_ms)
        self._tables.append(take(table, sorted(top)))
        drop = bisect_left(self._times, table.timestamp_ms - _KEEP_MS)
        del self._times[:drop], self._tables[:drop]

    def at(self, at_ms: int, *, within_ms: int = 2_000) -> ProcessTable | None:
        """The table nearest to an instant, None where nobody watched then."""
        index = bisect_left(self._times, at_ms)
        near = [one for one in (index - 1, index) if 0 <= one < len(self._times)]
        best = min(near, key=lambda one: abs(self._times[one] - at_ms), default=None)
        if best is None or abs(self._times[best] - at_ms) > within_ms:
            return None
        return self._tables[best]
