"""Load averages, the number of threads and the uptime, read at every call from /proc/loadavg and the boot clock."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable

from cybercorp.monitors.held_files import HeldFile
from cybercorp.monitors.monitor import counter, gauge
from cybercorp.protocol.metrics import Series

SERIES = (
    gauge("system.cpu.load_average.1m", "{thread}"),
    gauge("system.cpu.load_average.5m", "{thread}"),
    gauge("system.cpu.load_average.15m", "{thread}"),
    gauge("system.threads.count", "{thread}"),
    counter("system.uptime", "s"),
)


def parse_load(text: bytes) -> array[float]:
    """The three averages and the number of threads from /proc/loadavg (proc_loadavg(5)). Raises ValueError."""
    fields = text.split()
    if len(fields) < 4 or b"/" not in fields[3]:
        raise ValueError("/proc/loadavg is not understood")
    return array("d", map(float, (*fields[:3], fields[3].split(b"/")[1])))


def boot_clock() -> float:
    """Seconds since the machine started, suspended time included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LoadMonitor:
    name = "load"
    devices: tuple[str, ...] = ()

    def __init__(self, *, proc: str = "/proc", uptime: Callable[[], float] = boot_clock) -> None:
        self.present = True
        self.series: tuple[Series, ...] = ()
        self._file = HeldFile(f"{proc}/loadavg")
        self._uptime = uptime

    def read(self, values: array[float], start: int, now: float) -> bool:
        if not self.series:
            self.series = SERIES
            return False
        load = parse_load(self._file.read())
        load.append(round(self._uptime(), 2))
        values[start : start + len(load)] = load
        return True

    def close(self) -> None:
        self._file.close()
