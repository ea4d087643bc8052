"""What rarely changes about a machine that does not run Linux, through psutil and the standard library."""

from __future__ import annotations

import os
import platform
import socket
import sys
import time

import psutil

from cybercorp.core.version import VERSION
from cybercorp.monitors.monitor import attribute_text
from cybercorp.protocol.hosts import HostFacts

_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_OWN = ("127.", "::1", "fe80:", "169.254.")


def portable_facts() -> HostFacts:
    """The facts that psutil and Python tell; the others are empty."""
    # An IPv6 address may carry its interface behind a per cent sign.
    addresses = [
        one.address.split("%")[0]
        for interface in psutil.net_if_addrs().values()
        for one in interface
        if one.family in _FAMILIES and not one.address.startswith(_OWN)
    ]
    return HostFacts(
        hostname=attribute_text(socket.gethostname(), 200),
        os_type={"win32": "windows"}.get(sys.platform, sys.platform),
        os_description=attribute_text(platform.platform(terse=True), 200),
        kernel=attribute_text(platform.release(), 200),
        arch=attribute_text(platform.machine(), 200),
        cpu_model=attribute_text(platform.processor(), 200),
        cpu_count=os.cpu_count() or 0,
        memory_bytes=psutil.virtual_memory().total,
        boot_time_ms=round(psutil.boot_time() * 1000),
        addresses=list(dict.fromkeys(addresses))[:64],
        agent_version=VERSION,
        timezone=attribute_text(time.tzname[0], 200),
    )
