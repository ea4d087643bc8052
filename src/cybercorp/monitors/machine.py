"""Which monitors there are, and the ones for the system that this machine runs."""

from __future__ import annotations

from typing import Final

from cybercorp.monitors.linux import linux_monitors
from cybercorp.monitors.monitor import Scheduled
from cybercorp.monitors.settings import MonitorSettings

MONITORS: Final = ("cpu", "memory", "disks", "network")


def machine_monitors(settings: MonitorSettings) -> list[Scheduled]:
    """The monitors of this machine that the settings leave on."""
    return linux_monitors(settings)
