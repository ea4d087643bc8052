"""NVIDIA GPUs through NVML, read every 5 s in the background; the last values are repeated in between.

pynvml is imported only where NVIDIA's driver is loaded, so that a machine without a GPU pays for two looks at a path.
What a GPU cannot tell (power on a laptop, utilization of a MIG parent) has no value.
"""

from __future__ import annotations

import importlib
import os
from array import array
from collections.abc import Callable
from typing import Any

from cybercorp.monitors.monitor import NAN, PartlyReadError, attribute_text, gauge
from cybercorp.protocol.metrics import Series

# The driver's traces on Linux, below WSL, and on Windows. Without a driver the library could only fail.
DRIVER_PATHS = (
    "/proc/driver/nvidia/version",
    "/dev/nvidiactl",
    "/usr/lib/wsl/lib/libnvidia-ml.so.1",
    "C:\\Windows\\System32\\nvml.dll",
)
WIDTH = 6
_UNKNOWN = array("d", [NAN]) * WIDTH


def import_nvml() -> Any:
    """The pynvml module."""
    return importlib.import_module("pynvml")


def gpu_series(names: list[str]) -> tuple[Series, ...]:
    """`WIDTH` series for each GPU, in the order of `read_gpu`."""
    series: list[Series] = []
    for index, name in enumerate(names):
        named = {"gpu": str(index), "name": name}
        series += [
            gauge("hw.gpu.utilization", "1", **named),
            gauge("hw.gpu.memory.usage", "By", **named),
            gauge("hw.gpu.memory.limit", "By", **named),
            gauge("hw.gpu.memory.utilization", "1", **named),
            gauge("hw.gpu.temperature", "Cel", **named),
            gauge("hw.gpu.power", "W", **named),
        ]
    return tuple(series)


def read_gpu(nvml: Any, handle: Any) -> array[float]:
    """The `WIDTH` values of a GPU; NaN for what it does not support.

    Raises NVMLError where the GPU itself is the trouble (fell off the bus, driver gone).
    """

    def ask(question: Callable[[], float]) -> float:
        try:
            return question()
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_NO_PERMISSION):
                return NAN
            raise

    memory: Any = None

    def memory_used() -> float:
        nonlocal memory
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return float(memory.used)

    utilization = ask(lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
    used = ask(memory_used)
    total = float(memory.total) if memory is not None else NAN
    return array(
        "d",
        (
            utilization,
            used,
            total,
            used / total if total > 0 else NAN,
            ask(lambda: float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))),
            ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
        ),
    )


class GpuMonitor:
    """Meant to run inside a BackgroundMonitor: NVML can take seconds to wake a GPU."""

    name = "gpu"
    devices: tuple[str, ...] = ("gpu",)

    def __init__(
        self,
        limit: int,
        *,
        driver_paths: tuple[str, ...] = DRIVER_PATHS,
        load: Callable[[], Any] = import_nvml,
    ) -> None:
        self.present = False
        self.series: tuple[Series, ...] = ()
        self._limit = limit
        self._driver_paths = driver_paths
        self._load = load
        self._nvml: Any = None
        self._handles: list[Any] = []

    def read(self, values: array[float], start: int, now: float) -> bool:
        if self._nvml is None and not self._open():
            if self.series:
                self.series = ()
                return False
            return True
        nvml = self._nvml
        if (nvml.nvmlDeviceGetCount() != len(self._handles) or not self.series) and self._list(nvml):
            return False
        problems = []
        for index, handle in enumerate(self._handles):
            first = start + index * WIDTH
            try:
                values[first : first + WIDTH] = read_gpu(nvml, handle)
            except nvml.NVMLError as error:
                values[first : first + WIDTH] = _UNKNOWN
                problems.append(f"GPU {index}: {error}")
        if problems:
            self._shut()  # NVML does not see a GPU again that was lost, or a new driver, before it is opened anew
            raise PartlyReadError("; ".join(problems))
        return True

    def _open(self) -> bool:
        """Open NVML where there is a driver; False where this machine has none. Raises what NVML raises."""
        self.present = any(map(os.path.exists, self._driver_paths))
        if not self.present:
            return False
        nvml = self._load()
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            absent = (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED)
            if error.value in absent:
                self.present = False
                return False
            raise
        self._nvml = nvml
        return True

    def _list(self, nvml: Any) -> bool:
        """Get hold of the GPUs; True when their series are others than before."""
        count = min(nvml.nvmlDeviceGetCount(), self._limit)
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        names = [attribute_text(nvml.nvmlDeviceGetName(handle)) for handle in self._handles]
        self.present = bool(names)
        series = gpu_series(names)
        if series == self.series:
            return False
        self.series = series
        return True

    def _shut(self) -> None:
        if self._nvml is not None:
            nvml, self._nvml, self._handles = self._nvml, None, []
            try:
                nvml.nvmlShutdown()
            except nvml.NVMLError:
                return

    def close(self) -> None:
        self._shut()
