"""A monitor read as the sampler reads it, and the recorded texts of /proc."""

from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from cybercorp.monitors.monitor import Monitor

Take = Callable[..., dict[str, float]]


@pytest.fixture
def take() -> Take:
    """Reads a monitor once, with the second look that a changed catalogue takes: the values by the series' key."""

    def read(monitor: Monitor, now: float = 1000.0) -> dict[str, float]:
        for _ in range(3):
            values = array("d", [-1.0]) * (len(monitor.series) + 2)
            if monitor.read(values, 1, now):
                assert len(values) == len(monitor.series) + 2, "the row must keep its length"
                assert (values[0], values[-1]) == (-1.0, -1.0), "the neighbours' slots must stay as they were"
                keys = [one.key for one in monitor.series]
                assert len(set(keys)) == len(keys)
                return dict(zip(keys, values[1:-1], strict=True))
        raise AssertionError("the monitor's series never settled")

    return read


@pytest.fixture
def recorded() -> Callable[[str], bytes]:
    """A recorded text by its name in tests/fixtures/proc."""
    folder = Path(__file__).parents[2] / "fixtures" / "proc"
    return lambda name: (folder / f"{name}.txt").read_bytes()


@pytest.fixture
def proc(tmp_path: Path, recorded: Callable[[str], bytes]) -> Path:
    """A folder that looks like /proc of the recorded machine; tests change its files."""
    folder = tmp_path / "proc"
    for name in ("net", "pressure", "self"):
        (folder / name).mkdir(parents=True)
    for name in ("stat", "meminfo", "vmstat", "diskstats", "loadavg"):
        (folder / name).write_bytes(recorded(name))
    for name in ("net/dev", "net/snmp", "net/sockstat", "pressure/cpu", "pressure/io", "pressure/memory"):
        (folder / name).write_bytes(recorded(name.replace("/", "_")))
    (folder / "self/statm").write_bytes(b"3000 500 300 1 0 200 0\n")
    return folder
