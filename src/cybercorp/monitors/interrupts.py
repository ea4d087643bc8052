"""Context switches, interrupts, and processes created, running and blocked, from /proc/stat, read at every call."""

from __future__ import annotations

from array import array

from cybercorp.monitors.held_files import SharedFile
from cybercorp.monitors.monitor import NAN, counter, gauge
from cybercorp.protocol.metrics import Series

FIELDS = {
    b"intr": counter("system.cpu.interrupts", "{interrupt}"),
    b"ctxt": counter("system.cpu.context_switches", "{switch}"),
    b"processes": counter("system.processes.created", "{process}"),
    b"procs_running": gauge("system.processes.count", "{process}", status="running"),
    b"procs_blocked": gauge("system.processes.count", "{process}", status="blocked"),
    b"softirq": counter("system.cpu.softirqs", "{interrupt}"),
}


def parse_activity(text: bytes) -> array[float]:
    """The first number of each line of `FIELDS` in /proc/stat, NaN where the line is missing. Raises ValueError.

    Only these lines are looked at: behind the total, `intr` lists thousands of interrupts on large machines.
    """
    found = array("d")
    position = 0
    for name in FIELDS:
        at = text.find(b"\n" + name + b" ", position)
        if at < 0:
            found.append(NAN)
            continue
        position = at
        first = at + len(name) + 2
        found.append(float(text[first : first + 24].split(None, 1)[0]))
    if found[0] != found[0] and found[1] != found[1]:
        raise ValueError("/proc/stat tells neither interrupts nor context switches")
    return found


class InterruptsMonitor:
    name = "interrupts"
    devices: tuple[str, ...] = ()

    def __init__(self, stat: SharedFile) -> None:
        self.present = True
        self.series: tuple[Series, ...] = ()
        self._stat = stat

    def read(self, values: array[float], start: int, now: float) -> bool:
        if not self.series:
            self.series = tuple(FIELDS.values())
            return False
        found = parse_activity(self._stat.read(now))
        values[start : start + len(found)] = found
        return True

    def close(self) -> None:
        self._stat.close()
