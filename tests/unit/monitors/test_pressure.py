"""Pressure stall information from recorded, old and absent files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cybercorp.monitors.pressure import PressureMonitor, plan_pressure, separate

Take = Callable[..., dict[str, float]]


def test_ratios_and_seconds(proc: Path, take: Take) -> None:
    """avg10 is a percentage there and a ratio here; totals are microseconds there and seconds here."""
    (proc / "pressure/io").write_bytes(
        b"some avg10=12.34 avg60=1.00 avg300=0.10 total=5902258\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=7\n"
    )
    read = take(PressureMonitor(proc=str(proc)))
    assert read['system.pressure.utilization{resource="io",scope="some"}'] == 0.1234
    assert read['system.pressure.time{resource="io",scope="some"}'] == 5.902258
    assert read['system.pressure.time{resource="io",scope="full"}'] == 0.000007
    assert len(read) == 12


def test_old_kernels_have_no_full_for_the_cpu(proc: Path, take: Take) -> None:
    """Before 5.13 the line is not there, so the series is not; it comes with the line."""
    path = proc / "pressure/cpu"
    whole = path.read_bytes()
    path.write_bytes(whole.splitlines(keepends=True)[0])
    monitor = PressureMonitor(proc=str(proc))
    assert len(take(monitor)) == 10
    path.write_bytes(whole)
    assert len(take(monitor)) == 12


def test_a_kernel_without_psi_has_none(tmp_path: Path, take: Take) -> None:
    """That is no failure."""
    monitor = PressureMonitor(proc=str(tmp_path))
    assert take(monitor) == {}
    assert not monitor.present


def test_files_that_vanish_take_their_series_along(proc: Path, take: Take) -> None:
    """What remains keeps its values."""
    monitor = PressureMonitor(proc=str(proc))
    take(monitor)
    monitor.close()
    (proc / "pressure/memory").unlink()
    assert not any("memory" in key for key in take(monitor))


@pytest.mark.parametrize("text", [b"", b"some\n", b"some avg10 total\n", b"none avg10=1 total=2\n"])
def test_garbage_is_an_error(text: bytes) -> None:
    """Nothing is made up."""
    with pytest.raises(ValueError, match="not understood"):
        plan_pressure(separate(text))
