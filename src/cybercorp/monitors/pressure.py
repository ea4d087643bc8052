"""Pressure stall information (Documentation/accounting/psi.rst), read at every call from /proc/pressure.

The utilization is the share of the last ten seconds in which some, or all, tasks waited for the resource; the time is
their sum. A kernel without PSI, or started with psi=0, has none.
"""

from __future__ import annotations

import errno
from array import array

from cybercorp.monitors.held_files import HeldFile
from cybercorp.monitors.monitor import counter, gauge
from cybercorp.monitors.plan import TableReader, TokenPlan
from cybercorp.protocol.metrics import Series

RESOURCES = ("cpu", "memory", "io")
_NO_PSI = (errno.ENOENT, errno.ENOTDIR, errno.EOPNOTSUPP, errno.ENOSYS)


def separate(text: bytes) -> bytes:
    """`avg10=0.00` as two tokens."""
    return text.replace(b"=", b" ")


def plan_pressure(text: bytes) -> tuple[TokenPlan, tuple[str, ...]]:
    """The plan of one file: avg10 as a ratio and the total in seconds for each scope, and the scopes.

    `text` is as `separate` returns it. Kernels before 5.13 have no `full` for the CPU. Raises ValueError where no
    scope is found.
    """
    reader = TableReader()
    values: list[tuple[int, float]] = []
    scopes = []
    for line in text.split(b"\n"):
        fields = line.split()
        if not fields:
            continue
        first = reader.line(fields, 0)
        if fields[0] in (b"some", b"full") and b"avg10" in fields[:-1] and b"total" in fields[:-1]:
            scopes.append(fields[0].decode("ascii"))
            values.append((first + fields.index(b"avg10") + 1, 100.0))
            values.append((first + fields.index(b"total") + 1, 1e6))
    if not scopes:
        raise ValueError("a file of /proc/pressure is not understood")
    return TokenPlan(reader.count, reader.names, values), tuple(scopes)


def pressure_series(resource: str, scopes: tuple[str, ...]) -> tuple[Series, ...]:
    """The series of one file in the order of its plan."""
    series = []
    for scope in scopes:
        series.append(gauge("system.pressure.utilization", "1", resource=resource, scope=scope))
        series.append(counter("system.pressure.time", "s", resource=resource, scope=scope))
    return tuple(series)


class _Resource:
    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.file = HeldFile(path)
        self.plan = TokenPlan(-1, {}, ())
        self.scopes: tuple[str, ...] = ()


class PressureMonitor:
    name = "pressure"
    devices: tuple[str, ...] = ("resource",)

    def __init__(self, *, proc: str = "/proc") -> None:
        self.present = True
        self.series: tuple[Series, ...] = ()
        self._resources = [_Resource(one, f"{proc}/pressure/{one}") for one in RESOURCES]

    def read(self, values: array[float], start: int, now: float) -> bool:
        settled = True
        position = start
        for one in self._resources:
            try:
                text = separate(one.file.read())
            except OSError as error:
                if error.errno not in _NO_PSI:
                    raise
                settled = settled and not one.scopes
                one.scopes = ()
                continue
            tokens = text.split()
            if not one.plan.matches(tokens):
                one.plan, scopes = plan_pressure(text)
                settled = settled and scopes == one.scopes
                one.scopes = scopes
            if settled:
                one.plan.write(tokens, values, position)
                position += len(one.plan)
        if not settled:
            self.series = tuple(
                series for one in self._resources for series in pressure_series(one.name, one.scopes) if one.scopes
            )
        self.present = bool(self.series)
        return settled

    def close(self) -> None:
        for one in self._resources:
            one.file.close()
