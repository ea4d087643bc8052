"""CPU times and utilization from recorded and hostile /proc/stat texts."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.monitors.cpu import CpuMonitor, cpu_lines, plan_cpu
from cybercorp.monitors.held_files import SharedFile


def many_cores(count: int, tick: int) -> bytes:
    """A /proc/stat of `count` cores that each did `tick` of everything."""
    rows = [f"cpu{index}{f' {tick}' * 10}" for index in range(count)]
    return "\n".join([f"cpu {f' {tick * count}' * 10}", *rows, "intr 5" + " 0" * 4000, "ctxt 9\n"]).encode()


def test_times_are_seconds_by_state_in_total_and_for_each_core(
    proc: Path, take: Callable[..., dict[str, float]]
) -> None:
    """Ticks of a hundredth of a second become seconds; the total has no cpu attribute."""
    (proc / "stat").write_bytes(b"cpu  12 2 3 4 5 6 7 8 9 10\ncpu0 12 2 3 4 5 6 7 8 9 10\nintr 1 1\n")
    read = take(CpuMonitor(SharedFile(str(proc / "stat")), 100))
    assert read['system.cpu.time{state="user"}'] == 0.12
    assert read['system.cpu.time{cpu="0",state="steal"}'] == 0.08
    assert len(read) == 2 * 9
    assert math.isnan(read["system.cpu.utilization"])


def test_utilization_is_what_was_neither_idle_nor_waiting(proc: Path, take: Callable[..., dict[str, float]]) -> None:
    """Over the time between two readings, for the machine and for each core."""
    stat = proc / "stat"
    stat.write_bytes(b"cpu 0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0\n")
    monitor = CpuMonitor(SharedFile(str(stat)), 100)
    take(monitor, 1.0)
    stat.write_bytes(b"cpu 60 10 20 90 20 0 0 0 0 0\ncpu0 60 10 20 5 5 0 0 0 0 0\ncpu1 0 0 0 85 15 0 0 0 0 0\n")
    read = take(monitor, 2.0)
    assert read["system.cpu.utilization"] == pytest.approx(0.45)
    assert read['system.cpu.utilization{cpu="0"}'] == pytest.approx(0.9)
    assert read['system.cpu.utilization{cpu="1"}'] == 0.0


def test_a_reading_right_after_another_keeps_the_utilization(proc: Path, take: Callable[..., dict[str, float]]) -> None:
    """Over a few clock ticks a share would be noise: the last one stays, and the base of the next."""
    stat = proc / "stat"
    monitor = CpuMonitor(SharedFile(str(stat)), 100)
    for now, text in ((1.0, b"cpu 0 0 0 0 0 0 0 0"), (2.0, b"cpu 50 0 0 50 0 0 0 0"), (2.01, b"cpu 51 0 0 50 0 0 0 0")):
        stat.write_bytes(text)
        read = take(monitor, now)
    assert read["system.cpu.utilization"] == pytest.approx(0.5)
    stat.write_bytes(b"cpu 50 0 0 150 0 0 0 0")
    assert take(monitor, 3.01)["system.cpu.utilization"] == 0.0


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (b"cpu 250 0 0 90 0 0 0 0", 1.0),  # idle went backwards
        (b"cpu 50 0 0 0 0 0 0 0", math.nan),  # less time in total than before
        (b"cpu 0 0 0 0 0 0 0 0", math.nan),  # everything started anew
        (b"cpu 100 0 0 100 0 0 0 0", math.nan),  # no tick passed
        (b"cpu 4294967295 0 0 200 0 0 0 0", 1.0),
    ],
)
def test_counters_that_step_back_never_make_a_share_outside_its_range(
    proc: Path, take: Callable[..., dict[str, float]], after: bytes, expected: float
) -> None:
    """After a hotplug or a wrap the share is within 0–1, or unknown."""
    stat = proc / "stat"
    stat.write_bytes(b"cpu 100 0 0 100 0 0 0 0")
    monitor = CpuMonitor(SharedFile(str(stat)), 100)
    take(monitor, 1.0)
    stat.write_bytes(after)
    read = take(monitor, 2.0)["system.cpu.utilization"]
    assert read == pytest.approx(expected, abs=1e-4, nan_ok=True)


def test_a_core_that_comes_and_one_that_goes_change_the_series(
    proc: Path, take: Callable[..., dict[str, float]]
) -> None:
    """CPU hotplug gives new series at once and no share made of another core's numbers."""
    stat = proc / "stat"
    monitor = CpuMonitor(SharedFile(str(stat)), 100)
    stat.write_bytes(many_cores(4, 100))
    assert len(take(monitor, 1.0)) == 5 * 9
    stat.write_bytes(many_cores(4, 100).replace(b"cpu1 ", b"cpu9 "))
    read = take(monitor, 2.0)
    assert 'system.cpu.time{cpu="9",state="idle"}' in read
    assert 'system.cpu.time{cpu="1",state="idle"}' not in read
    assert math.isnan(read["system.cpu.utilization"])


def test_256_cores_are_256_cores(proc: Path, take: Callable[..., dict[str, float]]) -> None:
    """A large machine, its thousands of interrupts included, is read like any other."""
    stat = proc / "stat"
    stat.write_bytes(many_cores(256, 1000))
    monitor = CpuMonitor(SharedFile(str(stat)), 100)
    take(monitor, 1.0)
    stat.write_bytes(many_cores(256, 1100))
    read = take(monitor, 2.0)
    assert len(read) == 257 * 9
    assert read['system.cpu.utilization{cpu="255"}'] == pytest.approx(0.75)


def test_the_recorded_machine(recorded: Callable[[str], bytes]) -> None:
    """Two cores, and only the lines about them are looked at."""
    text = cpu_lines(recorded("stat"))
    plan, rows = plan_cpu(text, 100)
    assert rows == ("", "0", "1")
    assert b"intr" not in text
    assert len(plan.read(text.split())) == 3 * 8


@pytest.mark.parametrize("text", [b"", b"\n\n", b"cpu", b"cpu 1 2 3", b"intr 1 2 3\n", b"\xff\xfe\x00"])
def test_a_text_without_cpu_lines_is_an_error(text: bytes) -> None:
    """Nothing is made up where /proc/stat says nothing."""
    with pytest.raises(ValueError, match="no line"):
        plan_cpu(text, 100)


@given(st.binary(max_size=300))
def test_no_text_breaks_the_parser(text: bytes) -> None:
    """Whatever stands behind a good line, the good line is read."""
    _, rows = plan_cpu(b"cpu 1 2 3 4 5 6 7 8 9 10\n" + text, 100)
    assert rows[0] == ""
