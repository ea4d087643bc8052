"""Monitors that may be slow, read in a thread of their own so that they never hold up the row of the second.

A reading that takes long leaves the last values in place; one that takes longer than `hung_after_s` empties them and
counts as a failure until it returns. The thread lives only while it reads; a monitor never has more than one.
"""

from __future__ import annotations

import threading
import time
from array import array

from cybercorp.monitors.monitor import NAN, Monitor, PartlyReadError
from cybercorp.protocol.metrics import Series

FIRST_WAIT_S = 0.5


class _Reading:
    """One reading in progress, and what came of it. Only its thread writes it until `done` is set."""

    def __init__(self, monitor: Monitor, started: float) -> None:
        self.started = started
        self.done = threading.Event()
        self.series: tuple[Series, ...] = ()
        self.values: array[float] = array("d")
        self.present = True
        self.error: Exception | None = None
        self.duration_s = 0.0
        self._monitor = monitor
        threading.Thread(target=self._run, name=f"monitor-{monitor.name}", daemon=True).start()

    def _run(self) -> None:
        began = time.perf_counter()
        try:
            for _ in range(3):
                self.values = array("d", [NAN]) * len(self._monitor.series)
                if self._monitor.read(self.values, 0, self.started):
                    break
        except Exception as error:  # noqa: BLE001 - handed to the sampler, which counts and reports it
            self.error = error
        self.series = self._monitor.series
        self.present = self._monitor.present
        if len(self.values) != len(self.series):
            self.values = array("d", [NAN]) * len(self.series)
        self.duration_s = time.perf_counter() - began
        self.done.set()


class BackgroundMonitor:
    """`monitor`, read every `interval_s` in a thread. Its own `read` only looks whether there is something new."""

    def __init__(self, monitor: Monitor, interval_s: float, hung_after_s: float) -> None:
        self.name = monitor.name
        self.devices = monitor.devices
        self.present = True
        self.series: tuple[Series, ...] = ()
        self.duration_s = 0.0
        self._monitor = monitor
        self._interval_s = interval_s
        self._hung_after_s = hung_after_s
        self._reading: _Reading | None = None
        self._values: array[float] = array("d")
        self._error: Exception | None = None
        self._due = 0.0
        self._first = True

    def read(self, values: array[float], start: int, now: float) -> bool:
        if self._first:
            # Most machines answer at once: waiting here spares them a second catalogue right after the start.
            self._first = False
            self._start(now).done.wait(FIRST_WAIT_S)
        reading = self._reading
        if reading is not None and reading.done.is_set():
            self._reading = None
            self._values, self._error = reading.values, reading.error
            self.present, self.duration_s = reading.present, reading.duration_s
            if reading.series is not self.series:
                self.series = reading.series
                return False
        elif reading is not None and now - reading.started > self._hung_after_s:
            self.duration_s = now - reading.started
            raise TimeoutError(f"it has not answered for {self.duration_s:.0f} s")
        if self._reading is None and now >= self._due:
            self._start(now)
        if self._error is not None and not isinstance(self._error, PartlyReadError):
            raise self._error
        values[start : start + len(self.series)] = self._values
        if self._error is not None:
            raise self._error
        return True

    def _start(self, now: float) -> _Reading:
        self._due = now + self._interval_s * 0.95
        self._reading = _Reading(self._monitor, now)
        return self._reading

    def close(self) -> None:
        # A thread that reads right now would lose its files: it ends by itself, and with the process.
        if self._reading is None or self._reading.done.is_set():
            self._monitor.close()
