"""Memory from recorded and odd /proc/meminfo texts."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from cybercorp.monitors.held_files import SharedFile
from cybercorp.monitors.memory import MemoryMonitor

Take = Callable[..., dict[str, float]]


def read_text(proc: Path, take: Take, text: bytes) -> dict[str, float]:
    (proc / "meminfo").write_bytes(text)
    return take(MemoryMonitor(SharedFile(str(proc / "meminfo"))))


def test_used_is_what_is_not_available(proc: Path, take: Take) -> None:
    """As `free` of today: page cache that can be dropped is not in use."""
    text = b"MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\nBuffers: 50 kB\nCached: 450 kB\n"
    read = read_text(proc, take, text)
    assert read['system.memory.usage{state="used"}'] == 400 * 1024
    assert read['system.memory.utilization{state="used"}'] == pytest.approx(0.4)
    assert read["system.memory.limit"] == 1000 * 1024
    assert "system.memory.shared" not in read


def test_an_old_kernel_that_does_not_tell_what_is_available(proc: Path, take: Take) -> None:
    """Before Linux 3.14 it is estimated from the caches."""
    text = b"MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 450 kB\nSReclaimable: 30 kB\nShmem: 40 kB\n"
    assert read_text(proc, take, text)['system.memory.usage{state="used"}'] == (1000 - 100 - 50 - 440) * 1024


def test_more_available_than_there_is(proc: Path, take: Take) -> None:
    """A container's total with the host's rest is never negative use."""
    read = read_text(proc, take, b"MemTotal: 1000 kB\nMemAvailable: 5000 kB\n")
    assert read['system.memory.usage{state="used"}'] == 0.0


def test_a_total_of_zero_has_no_utilization(proc: Path, take: Take) -> None:
    """Nothing is divided by nothing."""
    read = read_text(proc, take, b"MemTotal: 0 kB\nMemAvailable: 0 kB\n")
    assert math.isnan(read['system.memory.utilization{state="used"}'])


@pytest.mark.parametrize("text", [b"", b"MemTotal:", b"MemTotal: lots kB\n", b"\0\0\0\n"])
def test_a_text_without_a_total_is_an_error(proc: Path, take: Take, text: bytes) -> None:
    """Nothing is made up."""
    with pytest.raises(ValueError, match="MemTotal"):
        read_text(proc, take, text)


def test_a_field_that_vanishes_changes_the_series(proc: Path, take: Take) -> None:
    """A value that stops coming takes its series with it, the others go on."""
    path = proc / "meminfo"
    monitor = MemoryMonitor(SharedFile(str(path)))
    before = take(monitor, 1.0)
    path.write_bytes(path.read_bytes().replace(b"Dirty:", b"Dusty:"))
    after = take(monitor, 2.0)
    assert set(before) - set(after) == {"system.linux.memory.dirty"}
    assert after["system.memory.limit"] == before["system.memory.limit"]
