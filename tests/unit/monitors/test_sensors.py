"""Sensors from a made /sys tree: chips, zones, batteries; odd, equal, failing and vanishing ones."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cybercorp.monitors.sensors import SensorsMonitor, parse_number

Take = Callable[..., dict[str, float]]


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


@pytest.fixture
def sys_tree(tmp_path: Path) -> Path:
    """A laptop with a processor, two drives of one kind, a fan and a battery."""
    hwmon = "class/hwmon"
    put(
        tmp_path,
        {
            f"{hwmon}/hwmon0/name": "coretemp",
            f"{hwmon}/hwmon0/temp1_input": "71000",
            f"{hwmon}/hwmon0/temp1_label": "Package id 0",
            f"{hwmon}/hwmon0/temp2_input": "-5500",
            f"{hwmon}/hwmon0/temp2_label": "Package id 0",
            f"{hwmon}/hwmon0/temp1_crit": "100000",
            f"{hwmon}/hwmon1/name": "nvme",
            f"{hwmon}/hwmon1/temp1_input": "40850",
            f"{hwmon}/hwmon10/name": "nvme",
            f"{hwmon}/hwmon10/temp1_input": "41850",
            f"{hwmon}/hwmon2/name": "thinkpad",
            f"{hwmon}/hwmon2/fan1_input": "2100",
            f"{hwmon}/hwmon2/fan1_alarm": "0",
            f"{hwmon}/hwmon2/in0_input": "12000",
            "class/thermal/thermal_zone0/type": "acpitz",
            "class/thermal/thermal_zone0/temp": "30000",
            "class/power_supply/BAT0/type": "Battery",
            "class/power_supply/BAT0/capacity": "87",
            "class/power_supply/BAT0/power_now": "7500000",
            "class/power_supply/AC/type": "Mains",
            "class/power_supply/AC/online": "1",
            "class/power_supply/hid-mouse/type": "Battery",
            "class/power_supply/hid-mouse/scope": "Device",
            "class/power_supply/hid-mouse/capacity": "3",
        },
    )
    return tmp_path


def test_temperatures_fans_and_the_battery(sys_tree: Path, take: Take) -> None:
    """Degrees, revolutions and ratios; equal names are told apart; a mouse's battery is not the machine's."""
    read = take(SensorsMonitor(100, sys=str(sys_tree)))
    assert read['hw.temperature{name="Package id 0",sensor="coretemp"}'] == 71.0
    assert read['hw.temperature{name="Package id 0 (temp2)",sensor="coretemp"}'] == -5.5
    assert read['hw.temperature{name="temp1",sensor="nvme"}'] == 40.85
    assert len([key for key in read if "nvme" in key]) == 2
    assert read['hw.fan.speed{name="fan1",sensor="thinkpad"}'] == 2100
    assert read['hw.battery.charge{battery="BAT0"}'] == 0.87
    assert read['hw.battery.power{battery="BAT0"}'] == 7.5
    assert len(read) == 7


def test_thermal_zones_stand_in_where_there_is_no_chip(sys_tree: Path, take: Take) -> None:
    """Boards without hwmon still have a temperature."""
    shutil.rmtree(sys_tree / "class/hwmon")
    assert take(SensorsMonitor(100, sys=str(sys_tree)))['hw.temperature{name="acpitz",sensor="thermal_zone0"}'] == 30.0


def test_a_machine_without_sensors(tmp_path: Path, take: Take) -> None:
    """That is no failure."""
    monitor = SensorsMonitor(100, sys=str(tmp_path))
    assert take(monitor) == {}
    assert not monitor.present


def test_a_sensor_that_vanishes(sys_tree: Path, take: Take) -> None:
    """It has no value in this look and no series in the next; the others go on."""
    monitor = SensorsMonitor(100, sys=str(sys_tree))
    take(monitor, 1.0)
    monitor.close()
    shutil.rmtree(sys_tree / "class/power_supply/BAT0")
    assert math.isnan(take(monitor, 2.0)['hw.battery.charge{battery="BAT0"}'])
    assert not any("battery" in key for key in take(monitor, 3.0))


def test_a_sensor_that_comes_is_found_within_a_minute(sys_tree: Path, take: Take) -> None:
    """The listing is not repeated at every look."""
    monitor = SensorsMonitor(100, sys=str(sys_tree))
    take(monitor, 1.0)
    put(sys_tree, {"class/power_supply/BAT1/type": "Battery", "class/power_supply/BAT1/capacity": "50"})
    assert len(take(monitor, 30.0)) == 7
    assert take(monitor, 62.0)['hw.battery.charge{battery="BAT1"}'] == 0.5


@pytest.mark.parametrize("text", [b"", b"\n", b"x", b"12 13", b"\xff"])
def test_garbage_is_unknown(text: bytes) -> None:
    """A sensor that says nothing sensible has no value."""
    assert math.isnan(parse_number(text, 1000.0))
