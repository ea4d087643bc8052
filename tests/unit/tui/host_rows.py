"""A host's catalogue and rows for tests: any number of cores, disks, interfaces, with or without the rest."""

from __future__ import annotations

import math
from array import array

from cybercorp.protocol.metrics import Catalogue, MetricKind, Series, make_catalogue
from cybercorp.tui.state.host_metrics import HostMetrics

GIB = 1024.0**3


class HostRows:
    """Series with values that can be set by key; `row` is what an agent would send."""

    def __init__(
        self, *, cores: int = 2, disks: tuple[str, ...] = ("vda",), sensors: bool = False, pressure: bool = True
    ) -> None:
        self.values: dict[str, float] = {}
        self._series: list[Series] = []
        self.gauge("system.cpu.utilization", 0.42)
        for core in range(cores):
            self.gauge("system.cpu.utilization", (core % 10) / 10, cpu=str(core))
        for state, seconds in (("user", 100.0), ("system", 50.0), ("iowait", 5.0), ("idle", 900.0), ("steal", 0.0)):
            self.counter("system.cpu.time", seconds, unit="s", state=state)
        for name, load in (("1m", 1.5), ("5m", 1.0), ("15m", 0.5)):
            self.gauge(f"system.cpu.load_average.{name}", load)
        for state, size in (("used", 20.4), ("free", 3.5), ("cached", 8.1), ("buffered", 0.0)):
            self.gauge("system.memory.usage", size * GIB, unit="By", state=state)
        self.gauge("system.memory.utilization", 20.4 / 32, state="used")
        self.gauge("system.memory.limit", 32 * GIB, unit="By")
        for state, size in (("used", 0.5), ("free", 1.5)):
            self.gauge("system.paging.usage", size * GIB, unit="By", state=state)
        for direction in ("in", "out"):
            self.counter("system.paging.operations", 0.0, unit="{operation}", direction=direction, type="major")
        if pressure:
            for resource in ("cpu", "memory", "io"):
                for scope in ("some", "full"):
                    self.gauge("system.pressure.utilization", 0.123, resource=resource, scope=scope)
        for disk in disks:
            for direction in ("read", "write"):
                self.counter("system.disk.io", 1000.0, unit="By", device=disk, direction=direction)
            self.counter("system.disk.io_time", 0.0, unit="s", device=disk)
        for device in ("eth0", "lo"):
            for direction in ("receive", "transmit"):
                self.counter("system.network.io", 1000.0, unit="By", device=device, direction=direction)
        for mountpoint, ratio in (("/", 0.71), ("/home", 0.4)):
            names = {"mountpoint": mountpoint, "device": f"/dev/{mountpoint}", "type": "ext4"}
            self.gauge("system.filesystem.utilization", ratio, **names)
            self.gauge("system.filesystem.usage", 36 * GIB, unit="By", state="free", **names)
        if sensors:
            self.gauge("hw.temperature", 71.0, unit="Cel", sensor="coretemp", name="package")
            self.gauge("hw.fan.speed", 2100.0, unit="{rpm}", sensor="fan1")
            self.gauge("hw.battery.charge", 0.8, battery="BAT0")
            self.gauge("hw.gpu.utilization", 0.5, gpu="0", name="RTX")
            self.gauge("hw.gpu.temperature", 66.0, unit="Cel", gpu="0", name="RTX")
        self.gauge("system.processes.count", 3.0, unit="{process}", status="running")
        self.gauge("system.uptime", 41 * 86_400.0, unit="s")

    def gauge(self, metric: str, value: float, *, unit: str = "1", **attributes: str) -> None:
        self._add(Series(name=metric, unit=unit, attributes=attributes), value)

    def counter(self, metric: str, value: float, *, unit: str, **attributes: str) -> None:
        self._add(Series(name=metric, unit=unit, kind=MetricKind.COUNTER, attributes=attributes), value)

    @property
    def catalogue(self) -> Catalogue:
        return make_catalogue(self._series)

    def set(self, key: str, value: float) -> None:
        assert key in self.values, key
        self.values[key] = value

    def add(self, key: str, growth: float) -> None:
        self.values[key] += growth

    def row(self) -> bytes:
        return array("d", (self.values[one.key] for one in self._series)).tobytes()

    def feed(self, metrics: HostMetrics, *, seconds: int = 1, start_ms: int = 1_000_000) -> None:
        """Send rows, one a second, in which the CPU swings and every counter grows."""
        catalogue = self.catalogue
        metrics.set_catalogue(catalogue.id, catalogue.series)
        for second in range(seconds):
            self.values["system.cpu.utilization"] = 0.5 + 0.45 * math.sin(second / 9)
            assert metrics.add_row(catalogue.id, start_ms + second * 1000, self.row())
            self.tick()

    def tick(self) -> None:
        """Let a second pass for the counters."""
        for one in self._series:
            if one.kind is MetricKind.COUNTER:
                self.values[one.key] += {"s": 0.25}.get(one.unit, 1_048_576.0 if one.unit == "By" else 0.0)

    def _add(self, series: Series, value: float) -> None:
        self._series.append(series)
        self.values[series.key] = value
