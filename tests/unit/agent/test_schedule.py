"""When the agent samples."""

import pytest

from cybercorp.agent.schedule import Schedule, Tick, suspended_s
from cybercorp.core.clock import ManualClock


class Machine:
    """A clock and a suspend counter under one hand."""

    def __init__(self, now_ms: int = 1_000_000_300) -> None:
        self.clock = ManualClock(now_ms=now_ms)
        self.suspended_s = 0.0
        self.schedule = Schedule(1000, self.clock, lambda: self.suspended_s)

    def next_tick(self, late_s: float = 0.0) -> Tick:
        """Wait for the next tick as the runner does, and come `late_s` too late."""
        self.clock.advance(self.schedule.wait_s() + late_s)
        tick = self.schedule.due()
        assert tick is not None
        return tick


def test_ticks_fall_on_whole_seconds() -> None:
    """Every host samples on the same grid; nothing is due before."""
    machine = Machine()
    assert machine.schedule.due() is None
    assert machine.schedule.wait_s() == pytest.approx(0.7)
    assert [machine.next_tick().timestamp_ms for _ in range(3)] == [1_000_001_000, 1_000_002_000, 1_000_003_000]


def test_work_and_lateness_do_not_add_up() -> None:
    """An hour of ticks that are each a little late ends on the second it should."""
    machine = Machine()
    for _ in range(3600):
        tick = machine.next_tick(late_s=0.004)
        machine.clock.advance(0.05)
    assert tick.timestamp_ms == 1_000_000_000 + 3_600_000


def test_who_is_late_says_so() -> None:
    """A sample taken 200 ms late is not stamped as if it had been on time."""
    assert Machine().next_tick(late_s=0.2).timestamp_ms == 1_000_001_200


def test_missed_ticks_are_skipped() -> None:
    """After a stall of 3.5 s there is one tick, not four; the grid is kept."""
    machine = Machine()
    machine.next_tick()
    tick = machine.next_tick(late_s=3.5)
    assert tick.skipped == 3
    assert machine.schedule.due() is None
    assert machine.next_tick().timestamp_ms == 1_000_006_000


@pytest.mark.parametrize("step_s", [-7200, -0.7, 0.6, 7200, 400 * 86400])
def test_a_set_clock_is_noticed_once_and_the_grid_follows(step_s: float) -> None:
    """Backwards or forwards: reported with its size, and the next tick is a whole second of the new time."""
    machine = Machine()
    machine.next_tick()
    machine.clock.step_wall(step_s)
    tick = machine.next_tick()
    assert tick.stepped_ms == pytest.approx(step_s * 1000, abs=2)
    following = machine.next_tick()
    assert following.stepped_ms == 0
    assert following.timestamp_ms % 1000 == 0
    assert machine.schedule.wait_s() == pytest.approx(1, abs=0.01)


def test_small_corrections_are_no_event() -> None:
    """NTP moves the clock a little: the grid follows silently."""
    machine = Machine()
    machine.next_tick()
    machine.clock.step_wall(0.1)
    assert machine.next_tick().stepped_ms == 0
    assert machine.next_tick().timestamp_ms % 1000 == 0


def test_a_suspended_machine_is_no_set_clock() -> None:
    """Three hours of sleep: the wall clock went on, the monotonic one did not. That is no step."""
    machine = Machine()
    machine.next_tick()
    machine.clock.step_wall(3 * 3600)
    machine.suspended_s += 3 * 3600
    tick = machine.next_tick()
    assert tick.stepped_ms == 0
    assert tick.slept_s == 3 * 3600
    assert machine.next_tick().slept_s == 0


def test_this_machine_tells_how_long_it_slept() -> None:
    """The reading works here and is no negative time."""
    assert suspended_s() >= -0.001
