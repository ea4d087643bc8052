"""The sampler: one row of everything, and monitors that fail, come, go and are late."""

from __future__ import annotations

import math
import struct
from array import array

import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import SettingsError
from cybercorp.monitors.monitor import PartlyReadError, Scheduled, gauge
from cybercorp.monitors.sampler import Sampler
from cybercorp.monitors.settings import MonitorSettings
from cybercorp.protocol.events import AgentEvent, EventKind
from cybercorp.protocol.metrics import Catalogue, Series, check_catalogue


class Subject:
    """A monitor whose devices, values and failures the test sets."""

    def __init__(self, name: str, **values: float) -> None:
        self.name = name
        self.devices: tuple[str, ...] = ("device",)
        self.present = True
        self.series: tuple[Series, ...] = ()
        self.values = values
        self.error: Exception | None = None
        self.reads = 0
        self.restless = False
        self.closed = False

    def read(self, values: array[float], start: int, now: float) -> bool:
        self.reads += 1
        if self.error is not None and not isinstance(self.error, PartlyReadError):
            values[start : start + len(self.series)] = array("d", [666.0]) * len(self.series)
            raise self.error
        wanted = tuple(gauge(f"test.{self.name}", "1", device=device) for device in self.values)
        if wanted != self.series or self.restless:
            self.series = wanted
            return False
        values[start : start + len(wanted)] = array("d", self.values.values())
        if self.error is not None:
            raise self.error
        return True

    def close(self) -> None:
        self.closed = True


def values_of(answer: tuple[Catalogue, bytes]) -> dict[str, float]:
    catalogue, body = answer
    check_catalogue(catalogue)
    return dict(
        zip([one.key for one in catalogue.series], struct.unpack(f"<{len(catalogue.series)}d", body), strict=True)
    )


def sampler_of(*subjects: Subject, clock: ManualClock | None = None, interval_s: float = 0.0) -> Sampler:
    return Sampler(clock=clock or ManualClock(), monitors=[Scheduled(one, interval_s) for one in subjects])


def kinds(events: list[AgentEvent]) -> list[str]:
    return [event.kind for event in events]


def test_a_row_has_a_little_endian_number_for_every_series() -> None:
    """The catalogue is there before the first sample, and the row is as long as it says."""
    sampler = sampler_of(Subject("a", x=1.5, y=2.5), Subject("b", z=-0.25))
    before = sampler.catalogue
    read = values_of(sampler.sample())
    assert sampler.catalogue is before
    assert read['test.a{device="y"}'] == 2.5
    assert read['test.b{device="z"}'] == -0.25
    assert read['cybercorp.monitor.success{monitor="a"}'] == 1.0
    assert read['cybercorp.monitor.duration{monitor="b"}'] >= 0.0
    assert sampler.take_events() == []


def test_a_failing_monitor_is_empty_and_reported_once() -> None:
    """Its slots are NaN, its success 0, the others are untouched; failing and recovering are one event each."""
    broken, sound = Subject("broken", x=1.0), Subject("sound", y=2.0)
    sampler = sampler_of(broken, sound)
    broken.error = PermissionError(13, "Permission denied", "/proc/secret")
    for _ in range(3):
        read = values_of(sampler.sample())
        assert math.isnan(read['test.broken{device="x"}'])
        assert read['test.sound{device="y"}'] == 2.0
        assert read['cybercorp.monitor.success{monitor="broken"}'] == 0.0
        assert read['cybercorp.monitor.success{monitor="sound"}'] == 1.0
    (event,) = sampler.take_events()
    assert event.kind == EventKind.MONITOR_FAILED
    assert event.attributes == {"monitor": "broken", "error": "/proc/secret: Permission denied"}
    assert [one.ok for one in sampler.health()] == [False, True]
    assert sampler.health()[0].error == "/proc/secret: Permission denied"
    broken.error = None
    assert values_of(sampler.sample())['test.broken{device="x"}'] == 1.0
    sampler.sample()
    assert kinds(sampler.take_events()) == [EventKind.MONITOR_RECOVERED]
    assert sampler.take_events() == []


def test_a_monitor_that_fails_from_the_start_joins_when_it_works() -> None:
    """It has no series until then; the catalogue grows without a restart."""
    broken = Subject("broken", x=1.0)
    broken.error = ValueError("not understood")
    sampler = sampler_of(broken, Subject("sound", y=2.0))
    assert 'test.broken{device="x"}' not in values_of(sampler.sample())
    broken.error = None
    assert values_of(sampler.sample())['test.broken{device="x"}'] == 1.0
    assert set(kinds(sampler.take_events())) == {
        EventKind.MONITOR_FAILED, EventKind.MONITOR_RECOVERED, EventKind.CATALOGUE_CHANGED,
    }  # fmt: skip


def test_a_partly_read_monitor_keeps_what_it_read() -> None:
    """One device of many that fails costs the others nothing, and is reported."""
    partly = Subject("partly", x=1.0)
    sampler = sampler_of(partly)
    partly.error = PartlyReadError("/mnt/nfs: it has not answered for 31 s")
    read = values_of(sampler.sample())
    assert read['test.partly{device="x"}'] == 1.0
    assert read['cybercorp.monitor.success{monitor="partly"}'] == 0.0
    assert kinds(sampler.take_events()) == [EventKind.MONITOR_FAILED]


def test_devices_that_come_and_go_make_a_new_catalogue() -> None:
    """In the same row, with an event that names them, and without a hole in the others' values."""
    changing, steady = Subject("disks", sda=1.0, sdb=2.0), Subject("steady", y=3.0)
    clock = ManualClock()
    sampler = Sampler(clock=clock, monitors=[Scheduled(changing, 0.0), Scheduled(steady, 60.0)])
    first = sampler.catalogue
    clock.advance(1)
    changing.values = {"sdb": 20.0, "sdc": 30.0}
    read = values_of(sampler.sample())
    assert read['test.disks{device="sdb"}'] == 20.0
    assert read['test.disks{device="sdc"}'] == 30.0
    assert read['test.steady{device="y"}'] == 3.0
    assert sampler.catalogue.id != first.id
    (event,) = sampler.take_events()
    assert event.kind == EventKind.CATALOGUE_CHANGED
    assert event.attributes["came"] == "disks sdc"
    assert event.attributes["went"] == "disks sda"
    assert event.attributes["catalogue"] == sampler.catalogue.id
    assert event.message == "disks sdc came; disks sda went."


def test_many_devices_at_once_make_a_short_event() -> None:
    """A hundred interfaces that come together are counted, not listed."""
    changing = Subject("network", lo=1.0)
    sampler = sampler_of(changing)
    changing.values = {f"veth{index}": 1.0 for index in range(100)}
    sampler.sample()
    (event,) = sampler.take_events()
    assert "and 80 more" in event.attributes["came"]


def test_the_same_devices_are_the_same_catalogue() -> None:
    """What came and went again between two looks leaves the catalogue's id as it was."""
    changing = Subject("disks", sda=1.0)
    sampler = sampler_of(changing)
    first = sampler.catalogue.id
    changing.values = {"sda": 1.0, "sdb": 1.0}
    sampler.sample()
    changing.values = {"sda": 1.0}
    sampler.sample()
    assert sampler.catalogue.id == first


def test_a_monitor_that_never_settles_disturbs_nobody() -> None:
    """One whose series are others each time it looks has no values; the row stays right."""
    restless, steady = Subject("restless", x=1.0), Subject("steady", y=3.0)
    sampler = sampler_of(restless, steady)
    restless.restless = True
    for index in range(5):
        restless.values = {f"x{index}": 1.0, f"y{index}": 2.0}
        assert values_of(sampler.sample())['test.steady{device="y"}'] == 3.0


def test_intervals_repeat_the_last_value() -> None:
    """A monitor with an interval is read when it is due, a few milliseconds of jitter notwithstanding."""
    slow, fast = Subject("slow", x=1.0), Subject("fast", y=1.0)
    clock = ManualClock()
    sampler = Sampler(clock=clock, monitors=[Scheduled(slow, 5.0), Scheduled(fast, 0.0)])
    slow_before, fast_before = slow.reads, fast.reads
    slow.values["x"] = 2.0
    seen = []
    for _ in range(10):
        clock.advance(0.998)
        seen.append(values_of(sampler.sample())['test.slow{device="x"}'])
    assert seen == [1.0] * 4 + [2.0] * 6
    assert slow.reads - slow_before == 2
    assert fast.reads - fast_before == 10


def test_a_subject_that_is_absent_is_no_failure_and_is_looked_for_once_a_minute() -> None:
    """No battery: no value, no event, healthy; when there is one it joins."""
    battery = Subject("battery")
    battery.present = False
    clock = ManualClock()
    sampler = sampler_of(battery, clock=clock)
    before = battery.reads
    for _ in range(59):
        clock.advance(1)
        read = values_of(sampler.sample())
    assert battery.reads == before
    assert math.isnan(read['cybercorp.monitor.success{monitor="battery"}'])
    (health,) = sampler.health()
    assert health.ok
    assert not health.present
    assert sampler.take_events() == []
    battery.present, battery.values = True, {"BAT0": 0.5}
    clock.advance(2)
    assert values_of(sampler.sample())['test.battery{device="BAT0"}'] == 0.5


def test_series_that_would_not_fit_into_a_message_are_left_out_and_said() -> None:
    """A machine with ten thousand devices still has its other series; the announcement stays below its limit."""
    huge = Subject("huge", **{f"device{index:06}": 1.0 for index in range(10_000)})
    sampler = sampler_of(Subject("small", x=1.0), huge)
    for _ in range(2):
        read = values_of(sampler.sample())
    assert read['test.small{device="x"}'] == 1.0
    assert read['cybercorp.monitor.success{monitor="huge"}'] == 0.0
    assert len(read) == 5
    (event,) = sampler.take_events()
    assert "do not fit" in event.message


def test_a_machine_without_monitors() -> None:
    """Nothing to read is an empty row."""
    assert values_of(sampler_of().sample()) == {}


def test_close_closes_every_monitor() -> None:
    """Files are let go."""
    subject = Subject("a", x=1.0)
    sampler_of(subject).close()
    assert subject.closed


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (MonitorSettings(disabled=("memry",)), "Did you mean 'memory'?"),
        (MonitorSettings(intervals_s={"nonsense": 1.0}), "The monitors are"),
        (MonitorSettings(intervals_s={"cpu": -1.0}), "0 (every time) to 86400"),
        (MonitorSettings(intervals_s={"cpu": math.nan}), "0 (every time) to 86400"),
        (MonitorSettings(max_devices=0), "1 to 2000"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: MonitorSettings, words: str) -> None:
    """An error that names the setting and what to write instead."""
    with pytest.raises(SettingsError) as raised:
        Sampler(settings)
    assert words in raised.value.hint
