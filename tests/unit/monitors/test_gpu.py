"""GPUs through a stand-in for NVML that behaves as NVIDIA documents it."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from cybercorp.monitors.gpu import GpuMonitor, import_nvml
from cybercorp.monitors.monitor import PartlyReadError

Take = Callable[..., dict[str, float]]


class Nvml:
    """NVML with as many GPUs as there are in `gpus`; `refused` maps a function's name to the error it raises."""

    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_NO_PERMISSION = 4
    NVML_ERROR_DRIVER_NOT_LOADED = 9
    NVML_ERROR_LIBRARY_NOT_FOUND = 12
    NVML_ERROR_GPU_IS_LOST = 15
    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        def __init__(self, value: int) -> None:
            super().__init__(f"error {value}")
            self.value = value

    def __init__(self, gpus: list[str]) -> None:
        self.gpus = gpus
        self.refused: dict[str, int] = {}
        self.open = 0
        self.opened = 0

    def _ask(self, name: str) -> None:
        assert name in ("nvmlInit", "nvmlShutdown") or self.open == 1, "NVML answers only while it is open"
        if name in self.refused:
            raise Nvml.NVMLError(self.refused[name])

    def nvmlInit(self) -> None:
        self._ask("nvmlInit")
        self.open += 1
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self._ask("nvmlShutdown")
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        self._ask("nvmlDeviceGetCount")
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> tuple[int, int]:
        return (self.opened, index)

    def nvmlDeviceGetName(self, handle: tuple[int, int]) -> str:
        return self.gpus[handle[1]]

    def _of(self, handle: tuple[int, int], name: str) -> None:
        assert handle[0] == self.opened, "handles do not outlive the library being closed"
        self._ask(name)

    def nvmlDeviceGetUtilizationRates(self, handle: tuple[int, int]) -> SimpleNamespace:
        self._of(handle, "utilization")
        return SimpleNamespace(gpu=42, memory=7)

    def nvmlDeviceGetMemoryInfo(self, handle: tuple[int, int]) -> SimpleNamespace:
        self._of(handle, "memory")
        return SimpleNamespace(total=80 * 2**30, used=20 * 2**30, free=60 * 2**30)

    def nvmlDeviceGetTemperature(self, handle: tuple[int, int], sensor: int) -> int:
        self._of(handle, "temperature")
        return 55

    def nvmlDeviceGetPowerUsage(self, handle: tuple[int, int]) -> int:
        self._of(handle, "power")
        return 123_456


def monitor_of(nvml: Nvml, driver: Path) -> GpuMonitor:
    driver.touch()
    return GpuMonitor(16, driver_paths=(str(driver),), load=lambda: nvml)


def test_utilization_memory_temperature_and_power(tmp_path: Path, take: Take) -> None:
    """Ratios, bytes, degrees and watts of each GPU."""
    read = take(monitor_of(Nvml(["H100", "H100"]), tmp_path / "driver"))
    assert read['hw.gpu.utilization{gpu="0",name="H100"}'] == 0.42
    assert read['hw.gpu.memory.usage{gpu="1",name="H100"}'] == 20 * 2**30
    assert read['hw.gpu.memory.utilization{gpu="1",name="H100"}'] == 0.25
    assert read['hw.gpu.temperature{gpu="0",name="H100"}'] == 55
    assert read['hw.gpu.power{gpu="0",name="H100"}'] == 123.456
    assert len(read) == 12


def test_without_a_driver_nothing_is_loaded(tmp_path: Path, take: Take) -> None:
    """A machine without a GPU does not even import the library."""

    def load() -> None:
        raise AssertionError("must not be loaded")

    monitor = GpuMonitor(16, driver_paths=(str(tmp_path / "none"),), load=load)
    assert take(monitor) == {}
    assert not monitor.present


@pytest.mark.parametrize("code", [Nvml.NVML_ERROR_LIBRARY_NOT_FOUND, Nvml.NVML_ERROR_DRIVER_NOT_LOADED])
def test_a_driver_without_its_library_is_no_gpu(tmp_path: Path, take: Take, code: int) -> None:
    """That is no failure, and it is looked at again later."""
    nvml = Nvml(["A"])
    nvml.refused["nvmlInit"] = code
    monitor = monitor_of(nvml, tmp_path / "driver")
    assert take(monitor) == {}
    assert not monitor.present
    nvml.refused.clear()
    assert len(take(monitor)) == 6


def test_what_a_gpu_does_not_support_is_unknown(tmp_path: Path, take: Take) -> None:
    """The other values are read."""
    nvml = Nvml(["T4"])
    nvml.refused = {"power": Nvml.NVML_ERROR_NOT_SUPPORTED, "memory": Nvml.NVML_ERROR_NO_PERMISSION}
    read = take(monitor_of(nvml, tmp_path / "driver"))
    assert math.isnan(read['hw.gpu.power{gpu="0",name="T4"}'])
    assert math.isnan(read['hw.gpu.memory.utilization{gpu="0",name="T4"}'])
    assert read['hw.gpu.temperature{gpu="0",name="T4"}'] == 55


def test_a_gpu_that_falls_off_the_bus_fails_and_comes_back(tmp_path: Path, take: Take) -> None:
    """The library is closed and opened anew, with new handles, and never left open twice."""
    nvml = Nvml(["A"])
    monitor = monitor_of(nvml, tmp_path / "driver")
    take(monitor)
    nvml.refused["temperature"] = Nvml.NVML_ERROR_GPU_IS_LOST
    for _ in range(2):
        with pytest.raises(PartlyReadError, match="GPU 0: error 15"):
            take(monitor)
    nvml.refused.clear()
    assert take(monitor)['hw.gpu.temperature{gpu="0",name="A"}'] == 55
    monitor.close()
    assert nvml.open == 0


def test_gpus_that_come_and_go(tmp_path: Path, take: Take) -> None:
    """A GPU that is attached while the agent runs has series from then on; without a driver there are none."""
    nvml = Nvml(["A"])
    monitor = monitor_of(nvml, tmp_path / "driver")
    take(monitor)
    nvml.gpus.append("B")
    assert len(take(monitor)) == 12
    monitor.close()
    (tmp_path / "driver").unlink()
    assert take(monitor) == {}
    assert not monitor.present


def test_nvidias_own_library_has_what_is_asked_of_it() -> None:
    """Every name that the monitor uses exists in pynvml, so that the stand-in does not stand in for a dream."""
    nvml = import_nvml()
    names = [name for name in vars(Nvml) if name.startswith(("nvml", "NVML_"))]
    assert [name for name in names if not hasattr(nvml, name)] == []
    assert issubclass(nvml.NVMLError, Exception)
    assert {name: getattr(nvml, name) for name in names if name.startswith("NVML_")} == {
        name: getattr(Nvml, name) for name in names if name.startswith("NVML_")
    }


def test_the_real_library_on_a_machine_without_a_gpu(tmp_path: Path, take: Take) -> None:
    """A trace of a driver without the library is absent, not failing; where there is a GPU, it has series."""
    (tmp_path / "driver").touch()
    monitor = GpuMonitor(16, driver_paths=(str(tmp_path / "driver"),))
    assert bool(take(monitor)) is monitor.present
    monitor.close()
