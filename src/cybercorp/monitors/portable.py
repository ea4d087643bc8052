"""The monitors of a machine that does not run Linux, through psutil: the same series where the system has them."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable
from fnmatch import fnmatchcase

import psutil

from cybercorp.monitors.background import BackgroundMonitor
from cybercorp.monitors.gpu import GpuMonitor
from cybercorp.monitors.monitor import NAN, Monitor, Scheduled, attribute_text, counter, gauge
from cybercorp.monitors.settings import MonitorSettings
from cybercorp.protocol.metrics import Series

Readings = list[tuple[Series, float]]
_CPU_STATES = {
    "user": "user", "nice": "nice", "system": "system", "idle": "idle", "iowait": "iowait", "interrupt": "interrupt",
    "irq": "interrupt", "softirq": "softirq", "steal": "steal",
}  # fmt: skip


class PortableMonitor:
    """A monitor made of a function that returns series with their values; none where the system has no such thing."""

    def __init__(self, name: str, devices: tuple[str, ...], take: Callable[[], Readings]) -> None:
        self.name = name
        self.devices = devices
        self.present = True
        self.series: tuple[Series, ...] = ()
        self._take = take

    def read(self, values: array[float], start: int, now: float) -> bool:
        readings = self._take()
        self.present = bool(readings)
        series = tuple(one for one, _ in readings)
        if series != self.series:
            self.series = series
            return False
        values[start : start + len(readings)] = array("d", (value for _, value in readings))
        return True

    def close(self) -> None:
        return


class CpuTimes:
    """CPU times with the utilization since the call before."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, float]] = {}

    def __call__(self) -> Readings:
        rows = [("", psutil.cpu_times())]
        rows += [(str(index), times) for index, times in enumerate(psutil.cpu_times(percpu=True))]
        readings: Readings = []
        shares: Readings = []
        for cpu, times in rows:
            named = {"cpu": cpu} if cpu else {}
            found = {_CPU_STATES[field]: getattr(times, field) for field in times._fields if field in _CPU_STATES}
            readings += [(counter("system.cpu.time", "s", **named, state=state), found[state]) for state in found]
            total, idle = sum(found.values()), found.get("idle", 0.0) + found.get("iowait", 0.0)
            total_before, idle_before = self._before.get(cpu, (total, idle))
            spent = total - total_before
            share = min(1.0, max(0.0, 1.0 - (idle - idle_before) / spent)) if spent > 0 else NAN
            shares.append((gauge("system.cpu.utilization", "1", **named), share))
            self._before[cpu] = (total, idle)
        return readings + shares


def take_load() -> Readings:
    averages = zip(("1m", "5m", "15m"), psutil.getloadavg(), strict=True)
    readings = [(gauge(f"system.cpu.load_average.{name}", "{thread}"), value) for name, value in averages]
    return [*readings, (counter("system.uptime", "s"), time.time() - psutil.boot_time())]


def take_interrupts() -> Readings:
    found = psutil.cpu_stats()
    return [
        (counter("system.cpu.interrupts", "{interrupt}"), float(found.interrupts)),
        (counter("system.cpu.context_switches", "{switch}"), float(found.ctx_switches)),
    ]


def take_memory() -> Readings:
    found = psutil.virtual_memory()
    used = float(found.total - found.available)
    return [
        (gauge("system.memory.limit", "By"), float(found.total)),
        (gauge("system.memory.usage", "By", state="free"), float(found.free)),
        (gauge("system.memory.usage", "By", state="used"), used),
        (gauge("system.memory.utilization", "1", state="used"), used / found.total if found.total else NAN),
    ]


def take_paging() -> Readings:
    found = psutil.swap_memory()
    return [
        (gauge("system.paging.usage", "By", state="used"), float(found.used)),
        (gauge("system.paging.usage", "By", state="free"), float(found.free)),
        (gauge("system.paging.utilization", "1", state="used"), found.used / found.total if found.total else NAN),
        (counter("system.paging.operations", "{operation}", direction="in", type="major"), float(found.sin)),
        (counter("system.paging.operations", "{operation}", direction="out", type="major"), float(found.sout)),
    ]


def take_disks() -> Readings:
    readings: Readings = []
    for name, found in (psutil.disk_io_counters(perdisk=True, nowrap=False) or {}).items():
        device = attribute_text(name)
        for direction in ("read", "write"):
            named = {"device": device, "direction": direction}
            readings += [
                (counter("system.disk.io", "By", **named), float(getattr(found, f"{direction}_bytes"))),
                (
                    counter("system.disk.operations", "{operation}", **named),
                    float(getattr(found, f"{direction}_count")),
                ),
                (counter("system.disk.operation_time", "s", **named), getattr(found, f"{direction}_time") / 1000),
            ]
    return readings


def take_network() -> Readings:
    readings: Readings = []
    for name, found in (psutil.net_io_counters(pernic=True, nowrap=False) or {}).items():
        for direction, verb, short in (("receive", "recv", "in"), ("transmit", "sent", "out")):
            named = {"device": attribute_text(name), "direction": direction}
            readings += [
                (counter("system.network.io", "By", **named), float(getattr(found, f"bytes_{verb}"))),
                (counter("system.network.packets", "{packet}", **named), float(getattr(found, f"packets_{verb}"))),
                (counter("system.network.errors", "{error}", **named), float(getattr(found, f"err{short}"))),
                (counter("system.network.dropped", "{packet}", **named), float(getattr(found, f"drop{short}"))),
            ]
    return readings


def take_filesystems(settings: MonitorSettings) -> Readings:
    """Runs in the background: a network drive may take for ever."""
    readings: Readings = []
    for mount in psutil.disk_partitions(all=False)[: settings.max_devices]:
        skipped = any(fnmatchcase(mount.mountpoint, glob) for glob in settings.skip_mountpoints)
        if skipped or mount.fstype in settings.skip_filesystem_types:
            continue
        try:
            found = psutil.disk_usage(mount.mountpoint)
        except OSError:
            continue  # an empty drive
        named = {
            "mountpoint": attribute_text(mount.mountpoint),
            "device": attribute_text(mount.device),
            "type": mount.fstype,
        }
        readable = found.used + found.free
        readings += [
            (gauge("system.filesystem.usage", "By", **named, state="used"), float(found.used)),
            (gauge("system.filesystem.usage", "By", **named, state="free"), float(found.free)),
            (gauge("system.filesystem.utilization", "1", **named), found.used / readable if readable else NAN),
            (gauge("system.filesystem.limit", "By", **named), float(found.total)),
        ]
    return readings


def take_sensors() -> Readings:
    readings: Readings = []
    for series_name, unit, ask in (
        ("hw.temperature", "Cel", getattr(psutil, "sensors_temperatures", dict)),
        ("hw.fan.speed", "{revolution}/min", getattr(psutil, "sensors_fans", dict)),
    ):
        for sensor, found in ask().items():
            for index, one in enumerate(found):
                name = attribute_text(one.label) or f"{index + 1}"
                readings.append(
                    (gauge(series_name, unit, sensor=attribute_text(sensor), name=name), float(one.current))
                )
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is not None:
        readings.append((gauge("hw.battery.charge", "1", battery="0"), battery.percent / 100))
    return list({series.key: (series, value) for series, value in readings}.values())


def take_own_cost() -> Readings:
    return [
        (counter("cybercorp.agent.cpu.time", "s"), time.process_time()),
        (gauge("cybercorp.agent.memory.usage", "By"), float(psutil.Process(os.getpid()).memory_info().rss)),
    ]


def portable_monitors(settings: MonitorSettings) -> list[Scheduled]:
    """Every monitor with its interval. Pressure and connection counts exist on Linux only."""
    prompt: list[Monitor] = [
        PortableMonitor("cpu", ("cpu",), CpuTimes()),
        PortableMonitor("load", (), take_load),
        PortableMonitor("interrupts", (), take_interrupts),
        PortableMonitor("memory", (), take_memory),
        PortableMonitor("paging", (), take_paging),
        PortableMonitor("disks", ("device",), take_disks),
        PortableMonitor("network", ("device",), take_network),
        PortableMonitor("agent", (), take_own_cost),
    ]
    slow: list[Monitor] = [
        PortableMonitor("filesystems", ("mountpoint",), lambda: take_filesystems(settings)),
        PortableMonitor("sensors", ("sensor", "battery"), take_sensors),
        GpuMonitor(settings.max_devices),
    ]
    background = [BackgroundMonitor(one, settings.interval_s(one.name), settings.hung_after_s) for one in slow]
    return [Scheduled(one, settings.interval_s(one.name)) for one in prompt] + [
        Scheduled(one, 0.0) for one in background
    ]
