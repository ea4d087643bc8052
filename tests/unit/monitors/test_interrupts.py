"""Context switches, interrupts and processes."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from cybercorp.monitors.held_files import SharedFile
from cybercorp.monitors.interrupts import InterruptsMonitor, parse_activity


def test_the_recorded_machine(proc: Path, take: Callable[..., dict[str, float]]) -> None:
    """Every number of the recorded text."""
    text = (proc / "stat").read_text()
    lines = dict(line.split(" ", 1) for line in text.splitlines())
    read = take(InterruptsMonitor(SharedFile(str(proc / "stat"))))
    assert read["system.cpu.interrupts"] == float(lines["intr"].split()[0])
    assert read["system.cpu.context_switches"] == float(lines["ctxt"])
    assert read["system.processes.created"] == float(lines["processes"])
    assert read['system.processes.count{status="running"}'] == float(lines["procs_running"])
    assert read['system.processes.count{status="blocked"}'] == float(lines["procs_blocked"])


def test_missing_lines_are_unknown() -> None:
    """Old kernels do not tell softirqs: that slot alone is empty."""
    found = parse_activity(b"cpu 1\nintr 5 0 0\nctxt 6\nbtime 1\nprocesses 7\n")
    assert list(found[:3]) == [5.0, 6.0, 7.0]
    assert all(math.isnan(one) for one in found[3:])


@pytest.mark.parametrize("text", [b"", b"cpu 1 2 3\n", b"cpu 1\nintr x\nctxt 6\n", b"cpu 1\nintr \n"])
def test_garbage_is_an_error(text: bytes) -> None:
    """Nothing is made up."""
    with pytest.raises((ValueError, IndexError)):
        parse_activity(text)
