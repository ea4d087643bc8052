"""Disk I/O of whole devices from /proc/diskstats (Documentation/admin-guide/iostats.rst), read at every call.

Whole devices are what /sys/block lists: disks, NVMe namespaces, device-mapper and RAID devices; not their partitions.
Times are the kernel's 32-bit milliseconds, which wrap after 49 days like any counter that is reset.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from fnmatch import fnmatchcase

from cybercorp.monitors.held_files import HeldFile
from cybercorp.monitors.monitor import attribute_text, counter, gauge
from cybercorp.monitors.plan import TableReader, TokenPlan
from cybercorp.protocol.metrics import Series

SECTORS_PER_BYTE = 1 / 512  # in diskstats, whatever the device's own sectors are
_FIELDS = 14  # before 4.18; discards and flushes follow in later kernels

# (metric, unit, direction, field of the line, divisor)
COLUMNS = (
    ("system.disk.io", "By", "read", 5, SECTORS_PER_BYTE),
    ("system.disk.io", "By", "write", 9, SECTORS_PER_BYTE),
    ("system.disk.operations", "{operation}", "read", 3, 1.0),
    ("system.disk.operations", "{operation}", "write", 7, 1.0),
    ("system.disk.operation_time", "s", "read", 6, 1000.0),
    ("system.disk.operation_time", "s", "write", 10, 1000.0),
    ("system.disk.io_time", "s", "", 12, 1000.0),
    ("system.disk.pending_operations", "{operation}", "", 11, 1.0),
)


def plan_disks(text: bytes, wanted: Callable[[str], bool], limit: int) -> tuple[TokenPlan, tuple[str, ...]]:
    """The plan of the wanted devices, `COLUMNS` by column, and their names.

    Lines that are no device's are passed over.
    """
    reader = TableReader()
    found: dict[str, int] = {}
    for line in text.split(b"\n"):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < _FIELDS or not all(map(bytes.isdigit, fields[3:_FIELDS])):
            reader.line(fields)
            continue
        first = reader.line(fields, 2)
        name = attribute_text(fields[2])
        if len(found) < limit and name not in found and wanted(name):
            found[name] = first
    values = [(first + field, divisor) for _, _, _, field, divisor in COLUMNS for first in found.values()]
    return TokenPlan(reader.count, reader.names, values), tuple(found)


def disk_series(devices: tuple[str, ...]) -> tuple[Series, ...]:
    """The series of the devices in the order of the plan."""
    series = []
    for metric, unit, direction, _, _ in COLUMNS:
        for device in devices:
            if direction:
                series.append(counter(metric, unit, device=device, direction=direction))
            elif metric == "system.disk.pending_operations":
                series.append(gauge(metric, unit, device=device))
            else:
                series.append(counter(metric, unit, device=device))
    return tuple(series)


class DisksMonitor:
    name = "disks"
    devices: tuple[str, ...] = ("device",)

    def __init__(self, skip: tuple[str, ...], limit: int, *, proc: str = "/proc", sys: str = "/sys") -> None:
        self.present = True
        self.series: tuple[Series, ...] = ()
        self._skip = skip
        self._limit = limit
        self._blocks = f"{sys}/block"
        self._file = HeldFile(f"{proc}/diskstats")
        self._plan = TokenPlan(-1, {}, ())
        self._devices: tuple[str, ...] = ()

    def read(self, values: array[float], start: int, now: float) -> bool:
        text = self._file.read()
        tokens = text.split()
        if not self._plan.matches(tokens):
            self._plan, devices = plan_disks(text, self._wanted, self._limit)
            self.present = bool(devices)
            if devices != self._devices:
                self._devices = devices
                self.series = disk_series(devices)
                return False
        self._plan.write(tokens, values, start)
        return True

    def _wanted(self, name: str) -> bool:
        if any(fnmatchcase(name, glob) for glob in self._skip):
            return False
        # sysfs writes the slash of names like cciss/c0d0 as an exclamation mark.
        whole = f"{self._blocks}/{name.replace('/', '!')}"
        return os.path.isdir(whole) or not os.path.isdir(self._blocks)  # noqa: PTH112 - a call per device, not a path's

    def close(self) -> None:
        self._file.close()
