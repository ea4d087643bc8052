"""Swap from /proc/meminfo, paging and page faults from /proc/vmstat, read at every call.

`system.paging.operations`: type `major` counts pages swapped, `minor` the kilobytes paged from and to disks, as the
OpenTelemetry collector has it. A machine without swap has the usage 0 and no utilization.
"""

from __future__ import annotations

from array import array

from cybercorp.monitors.held_files import HeldFile, SharedFile
from cybercorp.monitors.memory import plan_fields
from cybercorp.monitors.monitor import NAN, counter, gauge
from cybercorp.monitors.plan import TableReader, TokenPlan
from cybercorp.protocol.metrics import Series

SWAP_FIELDS = (b"SwapTotal:", b"SwapFree:")
SWAP_SERIES = (
    gauge("system.paging.usage", "By", state="used"),
    gauge("system.paging.usage", "By", state="free"),
    gauge("system.paging.utilization", "1", state="used"),
)
# `pgfault` counts every fault; the minor ones are what is left without the major.
COUNTERS = {
    b"pgfault": counter("system.paging.faults", "{fault}", type="minor"),
    b"pgmajfault": counter("system.paging.faults", "{fault}", type="major"),
    b"pswpin": counter("system.paging.operations", "{operation}", direction="in", type="major"),
    b"pswpout": counter("system.paging.operations", "{operation}", direction="out", type="major"),
    b"pgpgin": counter("system.paging.operations", "{operation}", direction="in", type="minor"),
    b"pgpgout": counter("system.paging.operations", "{operation}", direction="out", type="minor"),
    b"oom_kill": counter("system.linux.memory.oom_kills", "{process}"),
}


def plan_counters(text: bytes, wanted: tuple[bytes, ...]) -> tuple[TokenPlan, tuple[bytes, ...]]:
    """The plan of those lines `name number` whose name is wanted, in the order of `wanted`."""
    reader = TableReader()
    found: dict[bytes, int] = {}
    for line in text.split(b"\n"):
        fields = line.split()
        if not fields:
            continue
        if len(fields) == 2 and fields[0] in wanted and fields[1].isdigit():
            found.setdefault(fields[0], reader.line(fields, 0) + 1)
        else:
            reader.line(fields)
    names = tuple(name for name in wanted if name in found)
    return TokenPlan(reader.count, reader.names, [(found[name], 1.0) for name in names]), names


class PagingMonitor:
    name = "paging"
    devices: tuple[str, ...] = ()

    def __init__(self, meminfo: SharedFile, *, proc: str = "/proc") -> None:
        self.present = True
        self.series: tuple[Series, ...] = ()
        self._meminfo = meminfo
        self._vmstat = HeldFile(f"{proc}/vmstat")
        self._swap = TokenPlan(-1, {}, ())
        self._plan = TokenPlan(-1, {}, ())
        self._names: tuple[bytes, ...] = ()

    def read(self, values: array[float], start: int, now: float) -> bool:
        counters = self._vmstat.read().split()
        if not self._plan.matches(counters):
            self._plan, names = plan_counters(self._vmstat.read(), tuple(COUNTERS))
            if names != self._names or not self.series:
                self._names = names
                self.series = SWAP_SERIES + tuple(COUNTERS[name] for name in names)
                return False
        self._write_swap(self._meminfo.read(now), values, start)
        first = start + len(SWAP_SERIES)
        self._plan.write(counters, values, first)
        if self._names[:2] == (b"pgfault", b"pgmajfault"):
            values[first] = max(0.0, values[first] - values[first + 1])
        return True

    def _write_swap(self, text: bytes, values: array[float], start: int) -> None:
        tokens = text.split()
        if not self._swap.matches(tokens):
            self._swap, _ = plan_fields(text, SWAP_FIELDS)
        total, free = self._swap.read(tokens) if len(self._swap) == len(SWAP_FIELDS) else (0.0, 0.0)
        used = max(0.0, total - free)
        values[start] = used
        values[start + 1] = free
        values[start + 2] = used / total if total > 0 else NAN

    def close(self) -> None:
        self._vmstat.close()
        self._meminfo.close()
