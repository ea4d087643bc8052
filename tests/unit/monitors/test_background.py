"""Slow monitors in a thread: the row of the second never waits for them."""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Callable

import pytest

from cybercorp.monitors.background import BackgroundMonitor
from cybercorp.monitors.monitor import PartlyReadError, gauge
from cybercorp.protocol.metrics import Series

Take = Callable[..., dict[str, float]]


class Chip:
    """A monitor that answers when it is let go; `error` is raised instead of reading, `partly` after it."""

    def __init__(self) -> None:
        self.name = "chip"
        self.devices: tuple[str, ...] = ("sensor",)
        self.present = True
        self.series: tuple[Series, ...] = ()
        self.wanted = (gauge("hw.temperature", "Cel", sensor="a"),)
        self.value = 1.0
        self.error: Exception | None = None
        self.partly: Exception | None = None
        self.let_go = threading.Event()
        self.let_go.set()
        self.closed = False

    def read(self, values: array[float], start: int, now: float) -> bool:
        assert self.let_go.wait(30)
        if self.error:
            raise self.error
        if self.series is not self.wanted:
            self.series = self.wanted
            return False
        values[start] = self.value
        if self.partly:
            raise self.partly
        return True

    def close(self) -> None:
        self.closed = True


def settle() -> None:
    """Wait until no monitor reads any more."""
    for thread in threading.enumerate():
        if thread.name == "monitor-chip":
            thread.join(10)


KEY = 'hw.temperature{sensor="a"}'


def test_the_first_reading_is_waited_for_a_moment(take: Take) -> None:
    """A monitor that answers at once has its series from the first row on."""
    assert take(BackgroundMonitor(Chip(), 10.0, 30.0), 1.0) == {KEY: 1.0}


def test_values_are_repeated_until_the_interval_is_over(take: Take) -> None:
    """A new reading starts when it is due, and its values come with a later call."""
    chip = Chip()
    monitor = BackgroundMonitor(chip, 10.0, 30.0)
    take(monitor, 1.0)
    chip.value = 2.0
    assert take(monitor, 5.0) == {KEY: 1.0}
    take(monitor, 11.0)
    settle()
    assert take(monitor, 12.0) == {KEY: 2.0}


def test_one_that_hangs_keeps_its_values_then_fails_then_recovers(take: Take) -> None:
    """No call waits for it, one thread at most does."""
    chip = Chip()
    monitor = BackgroundMonitor(chip, 10.0, 30.0)
    take(monitor, 1.0)
    chip.let_go.clear()
    assert take(monitor, 11.0) == {KEY: 1.0}
    threads = threading.active_count()
    assert take(monitor, 30.0) == {KEY: 1.0}
    with pytest.raises(TimeoutError, match="not answered for 39 s"):
        take(monitor, 50.0)
    assert threading.active_count() == threads
    monitor.close()
    assert not chip.closed, "its thread still needs its files"
    chip.let_go.set()
    settle()
    assert take(monitor, 51.0) == {KEY: 1.0}
    monitor.close()
    assert chip.closed


def test_an_error_is_raised_where_the_sampler_sees_it(take: Take) -> None:
    """Until the next reading succeeds."""
    chip = Chip()
    monitor = BackgroundMonitor(chip, 10.0, 30.0)
    take(monitor, 1.0)
    chip.error = OSError("bus stuck")
    take(monitor, 11.0)
    settle()
    for now in (12.0, 13.0):
        with pytest.raises(OSError, match="bus stuck"):
            take(monitor, now)
    chip.error = None
    with pytest.raises(OSError, match="bus stuck"):
        take(monitor, 22.0)  # starts the reading that succeeds
    settle()
    assert take(monitor, 23.0) == {KEY: 1.0}


def test_a_partly_read_monitor_has_the_values_it_could_read(take: Take) -> None:
    """And its complaint is passed on."""
    chip = Chip()
    chip.partly = PartlyReadError("one of two")
    monitor = BackgroundMonitor(chip, 10.0, 30.0)
    values = array("d", [math.nan])
    assert not monitor.read(values, 0, 1.0)
    with pytest.raises(PartlyReadError, match="one of two"):
        monitor.read(values, 0, 1.5)
    assert values[0] == 1.0


def test_a_device_that_comes_is_announced(take: Take) -> None:
    """The series change when the reading that found it is done."""
    chip = Chip()
    monitor = BackgroundMonitor(chip, 10.0, 30.0)
    take(monitor, 1.0)
    chip.wanted = (gauge("hw.temperature", "Cel", sensor="b"),)
    take(monitor, 11.0)
    settle()
    assert list(take(monitor, 12.0)) == ['hw.temperature{sensor="b"}']
