"""What rarely changes about a Linux machine, from /proc, /sys and /etc: system, model, processor, memory, addresses."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from cybercorp.core.version import VERSION
from cybercorp.monitors.addresses import read_addresses
from cybercorp.monitors.monitor import attribute_text
from cybercorp.monitors.process_source import boot_time_ms
from cybercorp.protocol.hosts import HostFacts

_LIMIT = 200
_CPUINFO_BYTES = 16 * 1024  # the first processor's part: on a large machine the whole file takes a second
# What the firmware calls itself on virtual machines, and the common word for it.
_HYPERVISORS = {
    "kvm": "kvm", "qemu": "kvm", "amazon ec2": "kvm", "google compute engine": "kvm", "vmware": "vmware",
    "virtualbox": "virtualbox", "innotek": "virtualbox", "microsoft corporation virtual": "hyper-v", "xen": "xen",
    "bochs": "bochs", "parallels": "parallels", "bhyve": "bhyve", "openstack": "kvm", "firecracker": "kvm",
}  # fmt: skip


def linux_facts(folder: str = "/") -> HostFacts:
    """The facts of this machine; what cannot be found out is empty. `folder` is where /proc, /sys and /etc are."""
    root = Path(folder)
    system = os.uname()
    cpuinfo = _text(root / "proc/cpuinfo", _CPUINFO_BYTES)
    vendor = _text(root / "sys/class/dmi/id/sys_vendor")
    product = _text(root / "sys/class/dmi/id/product_name") or _text(root / "proc/device-tree/model")
    meminfo = _text(root / "proc/meminfo")
    return HostFacts(
        hostname=_cut(system.nodename),
        os_type="linux",
        os_description=_cut(os_description(_text(root / "etc/os-release") or _text(root / "usr/lib/os-release"))),
        kernel=_cut(system.release),
        arch=_cut(system.machine),
        model=_cut(" ".join(dict.fromkeys(f"{vendor} {product}".split()))),
        cpu_model=_cut(cpu_model(cpuinfo)),
        cpu_count=os.cpu_count() or 0,
        memory_bytes=memory_bytes(meminfo),
        boot_time_ms=boot_time_ms(str(root / "proc")),
        boot_id=_cut(_text(root / "proc/sys/kernel/random/boot_id")),
        addresses=read_addresses()[:64],
        virtualization=virtualization(root, f"{vendor} {product}", cpuinfo),
        agent_version=VERSION,
        timezone=_timezone(root),
    )


def os_description(os_release: str) -> str:
    """The system's name for people from os-release(5); empty where the text has none."""
    found = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line and not line.startswith("#"))
    name = found.get("PRETTY_NAME") or f"{found.get('NAME', '')} {found.get('VERSION_ID', '')}"
    return name.replace('"', "").strip()


def cpu_model(cpuinfo: str) -> str:
    """The processor's name from /proc/cpuinfo, which every architecture writes in its own words."""
    for key in ("model name", "Processor", "cpu model", "cpu", "Model", "Hardware", "uarch", "machine"):
        found = re.search(rf"^{key}\s*:\s*(\S.*)$", cpuinfo, re.MULTILINE)
        if found:
            return " ".join(found.group(1).split())
    return ""


def memory_bytes(meminfo: str) -> int:
    """MemTotal in bytes; 0 where the text does not tell."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0


def virtualization(root: Path, model: str, cpuinfo: str) -> str:
    """What this system runs in: a container's kind, a hypervisor's name, `vm` where it has no name, empty on metal."""
    container = _text(root / "run/systemd/container")
    if container:
        return _cut(container)
    if (root / ".dockerenv").exists():
        return "docker"
    if (root / "run/.containerenv").exists():
        return "podman"
    if "microsoft" in _text(root / "proc/sys/kernel/osrelease").lower():
        return "wsl"
    hypervisor = _text(root / "sys/hypervisor/type")
    if hypervisor:
        return _cut(hypervisor)
    named = model.lower()
    for word, name in _HYPERVISORS.items():
        if word in named:
            return name
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    return "vm" if flags and " hypervisor" in flags.group(1) else ""


def _timezone(root: Path) -> str:
    """The zone's name as /etc names it, else the short one."""
    named = _text(root / "etc/timezone")
    if named:
        return _cut(named)
    try:
        return _cut(str((root / "etc/localtime").readlink()).split("zoneinfo/", 1)[1])
    except (OSError, IndexError):
        return _cut(time.tzname[0])


def _text(path: Path, limit: int = 4096) -> str:
    """The start of a file without blanks around it; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(limit).decode("utf-8", "replace").strip("\0 \t\n")
    except OSError:
        return ""


def _cut(text: str) -> str:
    return attribute_text(text, _LIMIT)
