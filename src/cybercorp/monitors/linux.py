"""The monitors of a Linux machine: raw /proc and /sys, psutil is never imported."""

from __future__ import annotations

from cybercorp.monitors.cpu import CpuMonitor
from cybercorp.monitors.disks import DisksMonitor
from cybercorp.monitors.held_files import SharedFile
from cybercorp.monitors.memory import MemoryMonitor
from cybercorp.monitors.monitor import Monitor, Scheduled
from cybercorp.monitors.network import NetworkMonitor
from cybercorp.monitors.settings import MonitorSettings


def linux_monitors(settings: MonitorSettings) -> list[Scheduled]:
    """Every monitor that the settings leave on, with its interval."""
    stat, meminfo = SharedFile("/proc/stat"), SharedFile("/proc/meminfo")
    every: list[Monitor] = [
        CpuMonitor(stat),
        MemoryMonitor(meminfo),
        DisksMonitor(settings.skip_disks, settings.max_devices),
        NetworkMonitor(settings.skip_interfaces, settings.max_devices),
    ]
    return [Scheduled(one, settings.interval_s(one.name)) for one in every if one.name not in settings.disabled]
