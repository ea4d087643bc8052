"""Which slot of a host's sample row means what: the catalogue sorted into the subjects that panels show.

Made once per catalogue, so a row of samples costs only the slots that somebody looks at. Every name that came from the
host is display-safe from here on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from cybercorp.protocol.metrics import MetricKind, Series
from cybercorp.security.display import safe_text

MAX_DEVICES = 256
_DIGITS = re.compile(r"(\d+)")


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key by which `eth2` comes before `eth10`."""
    parts = _DIGITS.split(text)
    return tuple((1, int(one), "") if one.isascii() and one.isdigit() else (0, 0, one) for one in parts if one)


@dataclass
class Pair:
    """Two counters of one device: read and write, receive and transmit, in and out."""

    name: str
    first: int | None = None
    second: int | None = None
    busy: int | None = None  # seconds in which the device worked


@dataclass
class FilesystemSlots:
    mountpoint: str
    device: str
    type: str
    ratio: int | None = None
    used: int | None = None
    free: int | None = None


@dataclass
class GpuSlots:
    name: str
    utilization: int | None = None
    memory: int | None = None
    temperature: int | None = None
    power: int | None = None


@dataclass
class HostCatalogue:
    """Slots by subject. A slot is an index into the row; None or an empty collection means this host has none."""

    id: str = ""
    keys: tuple[str, ...] = ()
    counters: frozenset[int] = frozenset()
    cpu: int | None = None
    cores: list[tuple[str, int]] = field(default_factory=list)
    cpu_time: dict[str, int] = field(default_factory=dict)
    load: dict[str, int] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    memory_ratio: int | None = None
    memory_limit: int | None = None
    memory_available: int | None = None
    swap: dict[str, int] = field(default_factory=dict)
    swap_ratio: int | None = None
    paging: dict[str, list[int]] = field(default_factory=dict)
    pressure: dict[tuple[str, str], int] = field(default_factory=dict)
    disks: list[Pair] = field(default_factory=list)
    networks: list[Pair] = field(default_factory=list)
    filesystems: list[FilesystemSlots] = field(default_factory=list)
    temperatures: list[tuple[str, int]] = field(default_factory=list)
    fans: list[tuple[str, int]] = field(default_factory=list)
    batteries: list[tuple[str, int]] = field(default_factory=list)
    gpus: list[GpuSlots] = field(default_factory=list)
    processes: dict[str, int] = field(default_factory=dict)
    uptime: int | None = None
    context_switches: int | None = None
    interrupts: int | None = None


def read_catalogue(catalogue_id: str, series: Sequence[Series]) -> HostCatalogue:
    """Sort `series` into subjects; what no panel shows is left out."""
    found = HostCatalogue(
        id=catalogue_id,
        keys=tuple(one.key for one in series),
        counters=frozenset(slot for slot, one in enumerate(series) if one.kind is MetricKind.COUNTER),
    )
    disks: dict[str, Pair] = {}
    networks: dict[str, Pair] = {}
    filesystems: dict[tuple[str, str, str], FilesystemSlots] = {}
    gpus: dict[str, GpuSlots] = {}
    for slot, one in enumerate(series):
        attributes = one.attributes
        match one.name:
            case "system.disk.io" | "system.disk.io_time":
                _add_pair(disks, attributes, slot, one.name.endswith("time"))
            case "system.network.io":
                _add_pair(networks, attributes, slot, busy=False)
            case "system.filesystem.usage" | "system.filesystem.utilization":
                _add_filesystem(filesystems, attributes, slot, ratio=one.name.endswith("utilization"))
            case name if name.startswith("hw.gpu."):
                _add_gpu(gpus, attributes, slot, name.removeprefix("hw.gpu."))
            case name if name.startswith("hw."):
                _add_sensor(found, name, attributes, slot)
            case _:
                _add_system(found, one, slot)
    found.cores.sort(key=lambda item: natural(item[0]))
    found.disks = sorted(disks.values(), key=lambda pair: natural(pair.name))[:MAX_DEVICES]
    found.networks = sorted(networks.values(), key=lambda pair: (pair.name == "lo", natural(pair.name)))[:MAX_DEVICES]
    found.filesystems = sorted(filesystems.values(), key=lambda item: (item.mountpoint != "/", item.mountpoint))
    del found.filesystems[MAX_DEVICES:]
    found.gpus = [gpus[name] for name in sorted(gpus, key=natural)]
    return found


def _add_pair(pairs: dict[str, Pair], attributes: dict[str, str], slot: int, busy: bool) -> None:
    name = safe_text(attributes.get("device", "?"), 40)
    pair = pairs.setdefault(name, Pair(name))
    if busy:
        pair.busy = slot
    elif attributes.get("direction") in ("read", "receive"):
        pair.first = slot
    elif attributes.get("direction") in ("write", "transmit"):
        pair.second = slot


def _add_filesystem(
    filesystems: dict[tuple[str, str, str], FilesystemSlots], attributes: dict[str, str], slot: int, *, ratio: bool
) -> None:
    names = tuple(attributes.get(name, "") for name in ("mountpoint", "device", "type"))
    key = (names[0], names[1], names[2])
    if key not in filesystems:
        shown = [safe_text(name, 100) for name in key]
        filesystems[key] = FilesystemSlots(shown[0], shown[1], shown[2])
    one = filesystems[key]
    if ratio:
        one.ratio = slot
    elif attributes.get("state") == "used":
        one.used = slot
    elif attributes.get("state") == "free":
        one.free = slot


def _add_gpu(gpus: dict[str, GpuSlots], attributes: dict[str, str], slot: int, what: str) -> None:
    gpu = attributes.get("gpu", "0")
    one = gpus.setdefault(gpu, GpuSlots(safe_text(attributes.get("name", "") or f"gpu {gpu}", 40)))
    match what:
        case "utilization":
            one.utilization = slot
        case "memory" | "memory.utilization":
            one.memory = slot
        case "temperature":
            one.temperature = slot
        case "power":
            one.power = slot
        case _:
            pass


def _add_sensor(found: HostCatalogue, name: str, attributes: dict[str, str], slot: int) -> None:
    label = " ".join(part for part in (attributes.get("sensor", ""), attributes.get("name", "")) if part)
    item = (safe_text(label or attributes.get("battery", "") or name.removeprefix("hw."), 60), slot)
    match name:
        case "hw.temperature":
            found.temperatures.append(item)
        case "hw.fan.speed":
            found.fans.append(item)
        case "hw.battery.charge":
            found.batteries.append(item)
        case _:
            pass


def _add_system(found: HostCatalogue, one: Series, slot: int) -> None:
    attributes = one.attributes
    state = attributes.get("state", "")
    match one.name:
        case "system.cpu.utilization":
            if "cpu" in attributes:
                found.cores.append((safe_text(attributes["cpu"], 8), slot))
            elif not attributes:
                found.cpu = slot
        case "system.cpu.time":
            if "cpu" not in attributes:
                found.cpu_time[safe_text(state, 12)] = slot
        case "system.cpu.load_average.1m" | "system.cpu.load_average.5m" | "system.cpu.load_average.15m":
            found.load[one.name.rpartition(".")[2]] = slot
        case "system.memory.usage":
            found.memory[safe_text(state, 12)] = slot
        case "system.memory.utilization":
            if state == "used":
                found.memory_ratio = slot
        case "system.memory.limit":
            found.memory_limit = slot
        case "system.memory.available" | "system.linux.memory.available":
            found.memory_available = slot
        case "system.paging.usage":
            found.swap[safe_text(state, 12)] = slot
        case "system.paging.utilization":
            if state == "used":
                found.swap_ratio = slot
        case "system.paging.operations" if attributes.get("type", "major") == "major":
            found.paging.setdefault(safe_text(attributes.get("direction", ""), 12), []).append(slot)
        case "system.pressure.utilization":
            resource, scope = attributes.get("resource", ""), attributes.get("scope", "")
            found.pressure[safe_text(resource, 12), safe_text(scope, 12)] = slot
        case "system.processes.count":
            found.processes[safe_text(attributes.get("status", ""), 20)] = slot
        case "system.uptime":
            found.uptime = slot
        case "system.cpu.context_switches":
            found.context_switches = slot
        case "system.cpu.interrupts":
            found.interrupts = slot
        case _:
            pass
