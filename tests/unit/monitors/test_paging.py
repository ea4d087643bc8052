"""Swap and paging from recorded and odd texts."""

import math
from collections.abc import Callable
from pathlib import Path

from cybercorp.monitors.held_files import SharedFile
from cybercorp.monitors.paging import PagingMonitor

Take = Callable[..., dict[str, float]]


def monitor_of(proc: Path) -> PagingMonitor:
    return PagingMonitor(SharedFile(str(proc / "meminfo")), proc=str(proc))


def test_swap_in_use_and_faults(proc: Path, take: Take) -> None:
    """Usage is total − free; minor faults are all faults without the major ones."""
    (proc / "meminfo").write_bytes(b"MemTotal: 9 kB\nSwapTotal: 1000 kB\nSwapFree: 250 kB\n")
    (proc / "vmstat").write_bytes(
        b"pgpgin 7\npgpgout 8\npswpin 1\npswpout 2\npgfault 100\npgmajfault 30\nallocstall 5\n"
    )
    read = take(monitor_of(proc))
    assert read['system.paging.usage{state="used"}'] == 750 * 1024
    assert read['system.paging.utilization{state="used"}'] == 0.75
    assert read['system.paging.faults{type="minor"}'] == 70
    assert read['system.paging.operations{direction="out",type="major"}'] == 2
    assert "system.linux.memory.oom_kills" not in read


def test_a_machine_without_swap_has_no_utilization(proc: Path, take: Take) -> None:
    """That is no failure: nothing is used and there is nothing to use."""
    read = take(monitor_of(proc))
    assert read['system.paging.usage{state="used"}'] == 0.0
    assert math.isnan(read['system.paging.utilization{state="used"}'])


def test_a_kernel_without_event_counters(proc: Path, take: Take) -> None:
    """Swap is still read where /proc/vmstat has none of the names."""
    (proc / "vmstat").write_bytes(b"nr_free_pages 12\n")
    assert len(take(monitor_of(proc))) == 3
