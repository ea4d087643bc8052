"""The monitors of a Linux machine: raw /proc and /sys, psutil is never imported."""

from __future__ import annotations

from cybercorp.monitors.background import BackgroundMonitor
from cybercorp.monitors.connections import ConnectionsMonitor
from cybercorp.monitors.cpu import CpuMonitor
from cybercorp.monitors.disks import DisksMonitor
from cybercorp.monitors.filesystems import FilesystemsMonitor
from cybercorp.monitors.gpu import GpuMonitor
from cybercorp.monitors.held_files import SharedFile
from cybercorp.monitors.interrupts import InterruptsMonitor
from cybercorp.monitors.load import LoadMonitor
from cybercorp.monitors.memory import MemoryMonitor
from cybercorp.monitors.monitor import Monitor, Scheduled
from cybercorp.monitors.network import NetworkMonitor
from cybercorp.monitors.own_cost import OwnCostMonitor
from cybercorp.monitors.paging import PagingMonitor
from cybercorp.monitors.pressure import PressureMonitor
from cybercorp.monitors.sensors import SensorsMonitor
from cybercorp.monitors.settings import MonitorSettings


def linux_monitors(settings: MonitorSettings) -> list[Scheduled]:
    """Every monitor with its interval. Those that run in the background keep their interval themselves."""
    stat, meminfo = SharedFile("/proc/stat"), SharedFile("/proc/meminfo")
    limit = settings.max_devices
    prompt: list[Monitor] = [
        CpuMonitor(stat),
        LoadMonitor(),
        InterruptsMonitor(stat),
        PressureMonitor(),
        MemoryMonitor(meminfo),
        PagingMonitor(meminfo),
        DisksMonitor(settings.skip_disks, limit),
        FilesystemsMonitor(
            settings.skip_filesystem_types, settings.skip_mountpoints, limit, hung_after_s=settings.hung_after_s
        ),
        NetworkMonitor(settings.skip_interfaces, limit),
        ConnectionsMonitor(),
        OwnCostMonitor(),
    ]
    slow: list[Monitor] = [
        BackgroundMonitor(one, settings.interval_s(one.name), settings.hung_after_s)
        for one in (SensorsMonitor(limit), GpuMonitor(limit))
    ]
    return [Scheduled(one, settings.interval_s(one.name)) for one in prompt] + [Scheduled(one, 0.0) for one in slow]
