"""Disk I/O from recorded, old and hostile /proc/diskstats texts."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.monitors.disks import DisksMonitor, plan_disks
from cybercorp.monitors.settings import MonitorSettings

Take = Callable[..., dict[str, float]]
WHOLE = ("loop0", "sr0", "nvme0n1", "sda", "dm-0", "md127", "cciss!c0d0", "ram0")


@pytest.fixture
def monitor(proc: Path, tmp_path: Path, recorded: Callable[[str], bytes]) -> DisksMonitor:
    """The disks of a server with partitions, device-mapper, RAID and a controller with a slash in its name."""
    (proc / "diskstats").write_bytes(recorded("diskstats_server"))
    for name in WHOLE:
        (tmp_path / "sys/block" / name).mkdir(parents=True)
    return DisksMonitor(MonitorSettings().skip_disks, 100, proc=str(proc), sys=str(tmp_path / "sys"))


def devices(read: dict[str, float]) -> list[str]:
    return [key.split('"')[1] for key in read if key.startswith("system.disk.io_time")]


def test_whole_devices_and_nothing_else(monitor: DisksMonitor, take: Take) -> None:
    """Disks, namespaces, mappings and arrays; no partitions, loops, RAM disks or CD drives."""
    assert devices(take(monitor)) == ["nvme0n1", "sda", "dm-0", "md127", "cciss/c0d0"]


def test_bytes_seconds_and_operations(monitor: DisksMonitor, take: Take) -> None:
    """Sectors are 512 bytes whatever the device, times are seconds."""
    read = take(monitor)
    assert read['system.disk.io{device="nvme0n1",direction="read"}'] == 83886080 * 512
    assert read['system.disk.io{device="nvme0n1",direction="write"}'] == 41943040 * 512
    assert read['system.disk.operations{device="sda",direction="write"}'] == 2000
    assert read['system.disk.operation_time{device="sda",direction="read"}'] == 5.0
    assert read['system.disk.io_time{device="nvme0n1"}'] == 307.2
    assert read['system.disk.pending_operations{device="nvme0n1"}'] == 3


def test_a_counter_that_wraps_is_passed_on(monitor: DisksMonitor, proc: Path, take: Take) -> None:
    """The kernel's 32 bits end at 2^32 ms: the reading after that is small, and never an error."""
    assert take(monitor)['system.disk.operation_time{device="dm-0",direction="read"}'] == 4294967.295
    (proc / "diskstats").write_bytes((proc / "diskstats").read_bytes().replace(b"4294967295", b"7"))
    assert take(monitor)['system.disk.operation_time{device="dm-0",direction="read"}'] == 0.007


def test_devices_that_come_and_go_change_the_series(
    monitor: DisksMonitor, proc: Path, tmp_path: Path, take: Take
) -> None:
    """A disk pulled out and one plugged in are seen in the same look, and numbers never change places."""
    take(monitor)
    lines = (proc / "diskstats").read_bytes().splitlines(keepends=True)
    (tmp_path / "sys/block/sdz").mkdir()
    kept = [line for line in lines if b" sda" not in line]
    (proc / "diskstats").write_bytes(b"".join([*kept, b" 65 144 sdz 1 0 8 1 2 0 16 2 0 3 3 0 0 0 0 0 0\n"]))
    read = take(monitor)
    assert devices(read) == ["nvme0n1", "dm-0", "md127", "cciss/c0d0", "sdz"]
    assert read['system.disk.io{device="sdz",direction="write"}'] == 16 * 512


def test_a_partition_that_comes_changes_nothing(monitor: DisksMonitor, proc: Path, take: Take) -> None:
    """The plan is made anew; the series stay the same object, so no catalogue is made."""
    take(monitor)
    before = monitor.series
    with (proc / "diskstats").open("ab") as file:
        file.write(b"   8       2 sda2 1 0 8 1 2 0 16 2 0 3 3 0 0 0 0 0 0\n")
    take(monitor)
    assert monitor.series is before


def test_an_old_kernels_short_lines(recorded: Callable[[str], bytes]) -> None:
    """Linux 2.6.18 has 14 columns, and 7 for partitions."""
    text = recorded("diskstats_2_6_18")
    plan, names = plan_disks(text, lambda name: True, 10)
    assert names == ("sda",)
    assert plan.read(text.split())[0] == 98765 * 512


def test_a_machine_without_disks_has_none(proc: Path, tmp_path: Path, take: Take) -> None:
    """A container without devices is no failure."""
    (proc / "diskstats").write_bytes(b"")
    monitor = DisksMonitor((), 10, proc=str(proc), sys=str(tmp_path))
    assert take(monitor) == {}
    assert not monitor.present


def test_no_more_devices_than_allowed(recorded: Callable[[str], bytes]) -> None:
    """A limit keeps a machine with a thousand volumes from outgrowing a message."""
    assert plan_disks(recorded("diskstats_server"), lambda name: True, 3)[1] == ("loop0", "sr0", "nvme0n1")


@given(st.binary(max_size=400))
def test_no_text_breaks_the_parser(text: bytes) -> None:
    """Whatever stands there, the plan fits the text it was made from and its values are numbers."""
    plan, names = plan_disks(text, lambda name: True, 10)
    assert plan.matches(text.split()) or not text.split()
    assert len(plan.read(text.split())) == 8 * len(names)
