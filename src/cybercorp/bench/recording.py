"""Half an hour of one real host, 124 series once a second: what simulated agents send."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cybercorp.protocol.metrics import Catalogue, MetricKind, Series, make_catalogue

SERIES = 124
ROWS = 1800
HOST_SHIFT = 97  # host n starts so many rows later than host n − 1

_SUMMARY = {
    "cpu.user": Series(name="system.cpu.utilization"),
    "mem.percent": Series(name="system.memory.utilization", attributes={"state": "used"}),
    "fs./.percent": Series(name="system.filesystem.utilization", attributes={"mountpoint": "/"}),
    "load.0": Series(name="system.cpu.load_average.1m", unit="{thread}"),
    "net.eth0.bytes_recv": Series(
        name="system.network.io",
        unit="By",
        kind=MetricKind.COUNTER,
        attributes={"device": "eth0", "direction": "receive"},
    ),
    "net.eth0.bytes_sent": Series(
        name="system.network.io",
        unit="By",
        kind=MetricKind.COUNTER,
        attributes={"device": "eth0", "direction": "transmit"},
    ),
}
_PERCENT = ("cpu", "mem.percent", "fs./.percent", "swap.percent")
_COUNTERS = ("disk.", "net.", "stat.", "vm.pg", "vm.psw")


@cache
def recorded_values() -> NDArray[np.float64]:
    """float64 [ROWS, SERIES]; percentages as ratios."""
    values = np.array(_load()["values"])
    for column, name in enumerate(recorded_names()):
        if name.startswith(_PERCENT):
            values[:, column] = np.round(values[:, column] / 100, 5)
    return values


@cache
def recorded_names() -> tuple[str, ...]:
    """The names as they were recorded, one for each column."""
    return tuple(str(name) for name in _load()["names"])


@cache
def catalogue() -> Catalogue:
    """The series of the recording: those of the fleet's summary by their own names, the others as `recorded.…`."""
    return make_catalogue([_SUMMARY.get(name) or _series(name) for name in recorded_names()])


def body(host: int, second: int) -> bytes:
    """The row that host number `host` sends in second number `second`: little-endian float64."""
    return _bodies()[(second + host * HOST_SHIFT) % ROWS]


@cache
def _bodies() -> list[bytes]:
    return [row.tobytes() for row in recorded_values().astype("<f8")]


def _series(name: str) -> Series:
    group, _, rest = name.partition(".")
    device, _, field = rest.rpartition(".")
    kind = MetricKind.COUNTER if name.startswith(_COUNTERS) else MetricKind.GAUGE
    return Series(
        name=f"recorded.{group.rstrip('0123456789')}.{field}",
        kind=kind,
        attributes={"device": device or group} if device or group[-1].isdigit() else {},
    )


@cache
def _load() -> dict[str, Any]:
    with (files("cybercorp.bench") / "recording.npz").open("rb") as file, np.load(file) as found:
        return {name: found[name] for name in ("values", "names")}
