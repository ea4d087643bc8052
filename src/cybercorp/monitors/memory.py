"""Memory from /proc/meminfo, read at every call. `used` is total − available, as `free` of today shows it."""

from __future__ import annotations

from array import array

from cybercorp.monitors.held_files import SharedFile
from cybercorp.monitors.monitor import NAN, gauge
from cybercorp.monitors.plan import TableReader, TokenPlan
from cybercorp.protocol.metrics import Series

KIB_PER_BYTE = 1 / 1024
# In the order of the slots. The first four make the derived values.
FIELDS = {
    b"MemTotal:": gauge("system.memory.limit", "By"),
    b"MemAvailable:": gauge("system.linux.memory.available", "By"),
    b"MemFree:": gauge("system.memory.usage", "By", state="free"),
    b"Buffers:": gauge("system.memory.usage", "By", state="buffered"),
    b"Cached:": gauge("system.memory.usage", "By", state="cached"),
    b"SReclaimable:": gauge("system.memory.usage", "By", state="slab_reclaimable"),
    b"SUnreclaim:": gauge("system.memory.usage", "By", state="slab_unreclaimable"),
    b"Shmem:": gauge("system.memory.shared", "By"),
    b"Dirty:": gauge("system.linux.memory.dirty", "By"),
    b"Writeback:": gauge("system.linux.memory.writeback", "By"),
}
DERIVED = (
    gauge("system.memory.usage", "By", state="used"),
    gauge("system.memory.utilization", "1", state="used"),
)


def plan_fields(text: bytes, wanted: tuple[bytes, ...]) -> tuple[TokenPlan, tuple[bytes, ...]]:
    """The plan of those lines `Name: number kB` whose name is wanted, in bytes, in the order of `wanted`."""
    reader = TableReader()
    found: dict[bytes, int] = {}
    for line in text.split(b"\n"):
        fields = line.split()
        if fields:
            first = reader.line(fields, 0)
            if fields[0] in wanted and len(fields) >= 2 and fields[1].isdigit():
                found.setdefault(fields[0], first + 1)
    names = tuple(name for name in wanted if name in found)
    return TokenPlan(reader.count, reader.names, [(found[name], KIB_PER_BYTE) for name in names]), names


def used_bytes(read: dict[bytes, float]) -> float:
    """Memory in use, in bytes. Kernels before 3.14 do not tell what is available: it is estimated as `free` did."""
    total = read.get(b"MemTotal:", NAN)
    available = read.get(b"MemAvailable:")
    if available is None:
        reclaimable = read.get(b"Cached:", 0.0) + read.get(b"SReclaimable:", 0.0) - read.get(b"Shmem:", 0.0)
        available = read.get(b"MemFree:", NAN) + read.get(b"Buffers:", 0.0) + reclaimable
    # Inside some containers the total is the container's and the rest the host's.
    return max(0.0, total - available) if total == total and available == available else NAN


class MemoryMonitor:
    name = "memory"
    devices: tuple[str, ...] = ()

    def __init__(self, meminfo: SharedFile) -> None:
        self.present = True
        self.series: tuple[Series, ...] = ()
        self._meminfo = meminfo
        self._plan = TokenPlan(-1, {}, ())
        self._names: tuple[bytes, ...] = ()

    def read(self, values: array[float], start: int, now: float) -> bool:
        text = self._meminfo.read(now)
        tokens = text.split()
        if not self._plan.matches(tokens):
            self._plan, names = plan_fields(text, tuple(FIELDS))
            if b"MemTotal:" not in names:
                raise ValueError("/proc/meminfo does not tell MemTotal")
            if names != self._names:
                self._names = names
                self.series = tuple(FIELDS[name] for name in names) + DERIVED
                return False
        self._plan.write(tokens, values, start)
        end = start + len(self._plan)
        read = dict(zip(self._names, values[start:end], strict=True))
        used, total = used_bytes(read), read[b"MemTotal:"]
        values[end] = used
        values[end + 1] = round(used / total, 6) if total > 0 else NAN  # short decimals are stored small
        return True

    def close(self) -> None:
        self._meminfo.close()
