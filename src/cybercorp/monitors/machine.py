"""Which monitors there are, and the ones for the system that this machine runs."""

from __future__ import annotations

import sys
from typing import Final

from cybercorp.monitors.monitor import Scheduled
from cybercorp.monitors.settings import MonitorSettings

if sys.platform == "linux":
    from cybercorp.monitors.linux import linux_monitors as every_monitor
else:
    from cybercorp.monitors.portable import portable_monitors as every_monitor

MONITORS: Final = (
    "agent", "connections", "cpu", "disks", "filesystems", "gpu", "interrupts", "load", "memory", "network", "paging",
    "pressure", "sensors",
)  # fmt: skip


def machine_monitors(settings: MonitorSettings) -> list[Scheduled]:
    """The monitors of this machine that the settings leave on."""
    return [one for one in every_monitor(settings) if one.monitor.name not in settings.disabled]
