"""Traffic of every network interface, `lo` and virtual ones included, from /proc/net/dev, read at every call."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from fnmatch import fnmatchcase

from cybercorp.monitors.held_files import HeldFile
from cybercorp.monitors.monitor import attribute_text, counter
from cybercorp.monitors.plan import TableReader, TokenPlan
from cybercorp.protocol.metrics import Series

_FIELDS = 17  # the name, eight columns of receive, eight of transmit

# (metric, unit, direction, field of the line)
COLUMNS = (
    ("system.network.io", "By", "receive", 1),
    ("system.network.io", "By", "transmit", 9),
    ("system.network.packets", "{packet}", "receive", 2),
    ("system.network.packets", "{packet}", "transmit", 10),
    ("system.network.errors", "{error}", "receive", 3),
    ("system.network.errors", "{error}", "transmit", 11),
    ("system.network.dropped", "{packet}", "receive", 4),
    ("system.network.dropped", "{packet}", "transmit", 12),
)


def separate(text: bytes) -> bytes:
    """The table with a blank behind each name: old kernels put none between the colon and a wide number."""
    return text.replace(b":", b" ")


def plan_network(text: bytes, wanted: Callable[[str], bool], limit: int) -> tuple[TokenPlan, tuple[str, ...]]:
    """The plan of the wanted interfaces, `COLUMNS` by column, and their names. `text` is as `separate` returns it."""
    reader = TableReader()
    found: dict[str, int] = {}
    for line in text.split(b"\n"):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != _FIELDS or not all(map(bytes.isdigit, fields[1:])):
            reader.line(fields)
            continue
        first = reader.line(fields, 0)
        name = attribute_text(fields[0])
        if len(found) < limit and name not in found and wanted(name):
            found[name] = first
    values = [(first + field, 1.0) for _, _, _, field in COLUMNS for first in found.values()]
    return TokenPlan(reader.count, reader.names, values), tuple(found)


def network_series(devices: tuple[str, ...]) -> tuple[Series, ...]:
    """The series of the interfaces in the order of the plan."""
    return tuple(
        counter(metric, unit, device=device, direction=direction)
        for metric, unit, direction, _ in COLUMNS
        for device in devices
    )


class NetworkMonitor:
    name = "network"
    devices: tuple[str, ...] = ("device",)

    def __init__(self, skip: tuple[str, ...], limit: int, *, proc: str = "/proc") -> None:
        self.present = True
        self.series: tuple[Series, ...] = ()
        self._skip = skip
        self._limit = limit
        self._file = HeldFile(f"{proc}/net/dev")
        self._plan = TokenPlan(-1, {}, ())
        self._devices: tuple[str, ...] = ()

    def read(self, values: array[float], start: int, now: float) -> bool:
        text = separate(self._file.read())
        tokens = text.split()
        if not self._plan.matches(tokens):
            self._plan, devices = plan_network(text, self._wanted, self._limit)
            self.present = bool(devices)
            if devices != self._devices:
                self._devices = devices
                self.series = network_series(devices)
                return False
        self._plan.write(tokens, values, start)
        return True

    def _wanted(self, name: str) -> bool:
        return not any(fnmatchcase(name, glob) for glob in self._skip)

    def close(self) -> None:
        self._file.close()
