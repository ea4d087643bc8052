"""What the agent itself costs: its CPU time and resident memory, read at every call."""

from __future__ import annotations

import os
import time
from array import array

from cybercorp.monitors.held_files import HeldFile
from cybercorp.monitors.monitor import counter, gauge
from cybercorp.protocol.metrics import Series

SERIES = (
    counter("cybercorp.agent.cpu.time", "s"),
    gauge("cybercorp.agent.memory.usage", "By"),
)


class OwnCostMonitor:
    name = "agent"
    devices: tuple[str, ...] = ()

    def __init__(self, *, proc: str = "/proc") -> None:
        self.present = True
        self.series: tuple[Series, ...] = ()
        self._statm = HeldFile(f"{proc}/self/statm")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def read(self, values: array[float], start: int, now: float) -> bool:
        if not self.series:
            self.series = SERIES
            return False
        resident = int(self._statm.read().split()[1]) * self._page_bytes
        values[start : start + len(SERIES)] = array("d", (round(time.process_time(), 6), float(resident)))
        return True

    def close(self) -> None:
        self._statm.close()
