"""Temperatures, fans and batteries from /sys/class/hwmon, /sys/class/thermal and /sys/class/power_supply.

Read every 10 s in the background, because some chips take long to answer; the last values are repeated in between.
The listing is refreshed once a minute and when a sensor vanishes. Thermal zones are used only where hwmon has no
temperature. A sensor that gives an error has no value.
"""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from typing import NamedTuple

from cybercorp.monitors.held_files import HeldFile
from cybercorp.monitors.monitor import NAN, attribute_text, gauge
from cybercorp.protocol.metrics import Series

RELIST_S = 60.0


class Sensor(NamedTuple):
    """A file with one number and the series it becomes after division by `divisor`."""

    path: str
    series: Series
    divisor: float


def list_sensors(sys: str, limit: int) -> list[Sensor]:
    """Every sensor under `sys`, at most `limit`, none of them twice. What vanishes meanwhile is left out."""
    found = _list_chips(Path(sys) / "class/hwmon")
    if not any(one.series.name == "hw.temperature" for one in found):
        found += _list_zones(Path(sys) / "class/thermal")
    found += _list_batteries(Path(sys) / "class/power_supply")
    return list({one.series.key: one for one in reversed(found)}.values())[::-1][:limit]


def parse_number(text: bytes, divisor: float) -> float:
    """The number of a sensor's file; NaN where it holds none."""
    try:
        return float(text) / divisor
    except ValueError:
        return NAN


def _list_chips(folder: Path) -> list[Sensor]:
    found: list[Sensor] = []
    used: set[str] = set()
    for chip in _entries(folder):
        name = _text(chip / "name") or chip.name
        if name in used:
            # Two chips of one kind are told apart by where they are: nvme and nvme (nvme1).
            name = f"{name} ({_device_name(chip)})"
        used.add(name)
        labels: set[str] = set()
        for file in _entries(chip):
            kind, _, what = file.name.partition("_")
            if what != "input" or kind.rstrip("0123456789") not in ("temp", "fan"):
                continue
            label = _text(chip / f"{kind}_label") or kind
            if label in labels:
                label = f"{label} ({kind})"
            labels.add(label)
            if kind.startswith("temp"):
                found.append(Sensor(str(file), gauge("hw.temperature", "Cel", sensor=name, name=label), 1000.0))
            else:
                found.append(Sensor(str(file), gauge("hw.fan.speed", "{revolution}/min", sensor=name, name=label), 1.0))
    return found


def _list_zones(folder: Path) -> list[Sensor]:
    found = []
    for zone in _entries(folder):
        if zone.name.startswith("thermal_zone") and (zone / "temp").exists():
            label = _text(zone / "type") or zone.name
            series = gauge("hw.temperature", "Cel", sensor=zone.name, name=label)
            found.append(Sensor(str(zone / "temp"), series, 1000.0))
    return found


def _list_batteries(folder: Path) -> list[Sensor]:
    found = []
    for supply in _entries(folder):
        # "Device" is the battery of a mouse or a headset.
        if _text(supply / "type") != "Battery" or _text(supply / "scope") == "Device":
            continue
        named = {"battery": attribute_text(supply.name)}
        if (supply / "capacity").exists():
            found.append(Sensor(str(supply / "capacity"), gauge("hw.battery.charge", "1", **named), 100.0))
        if (supply / "power_now").exists():
            found.append(Sensor(str(supply / "power_now"), gauge("hw.battery.power", "W", **named), 1e6))
    return found


class SensorsMonitor:
    """Meant to run inside a BackgroundMonitor."""

    name = "sensors"
    devices: tuple[str, ...] = ("sensor", "battery")

    def __init__(self, limit: int, *, sys: str = "/sys") -> None:
        self.present = False
        self.series: tuple[Series, ...] = ()
        self._limit = limit
        self._sys = sys
        self._listed_at = float("-inf")
        self._sensors: list[Sensor] = []
        self._files: list[HeldFile] = []

    def read(self, values: array[float], start: int, now: float) -> bool:
        if now - self._listed_at >= RELIST_S and self._list(now):
            return False
        for index, (file, sensor) in enumerate(zip(self._files, self._sensors, strict=True)):
            try:
                values[start + index] = parse_number(file.read(), sensor.divisor)
            except OSError:
                # A drive asleep, a chip busy, a battery pulled out: the others are read all the same.
                values[start + index] = NAN
                if not os.path.exists(sensor.path):  # noqa: PTH110
                    self._listed_at = float("-inf")
        return True

    def _list(self, now: float) -> bool:
        self._listed_at = now
        sensors = list_sensors(self._sys, self._limit)
        self.present = bool(sensors)
        if sensors == self._sensors:
            return False
        self.close()
        self._sensors = sensors
        self._files = [HeldFile(one.path) for one in sensors]
        self.series = tuple(one.series for one in sensors)
        return True

    def close(self) -> None:
        for file in self._files:
            file.close()


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, numbers in their order; nothing where it is absent."""
    try:
        return sorted(folder.iterdir(), key=lambda entry: (len(entry.name), entry.name))
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return attribute_text(file.read(256).strip(b"\0 \t\n"), 100)
    except OSError:
        return ""


def _device_name(chip: Path) -> str:
    try:
        return attribute_text((chip / "device").resolve().name, 100)
    except OSError:
        return chip.name
