"""The monitors of other systems, run here through psutil: the same series as Linux's own, with the same values."""

import math
import os

import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.monitors.portable import portable_monitors
from cybercorp.monitors.portable_processes import PortableProcesses
from cybercorp.monitors.process_source import LinuxProcesses
from cybercorp.monitors.sampler import Sampler
from cybercorp.monitors.settings import MonitorSettings
from cybercorp.protocol.metrics import Series


def series_of(sampler: Sampler) -> dict[str, Series]:
    return {one.key: one for one in sampler.catalogue.series}


def test_the_series_are_named_as_on_linux() -> None:
    """Name, attributes, unit and kind are the same wherever both have a series."""
    settings = MonitorSettings()
    portable = Sampler(settings, monitors=portable_monitors(settings))
    linux = Sampler(settings)
    ours, theirs = series_of(linux), series_of(portable)
    both = set(ours) & set(theirs)
    assert all(ours[key] == theirs[key] for key in both)
    needed = (
        "system.cpu.utilization", 'system.cpu.utilization{cpu="0"}', 'system.cpu.time{state="user"}',
        'system.memory.utilization{state="used"}', 'system.paging.usage{state="used"}', "system.uptime",
        "system.cpu.load_average.1m", 'system.network.io{device="lo",direction="receive"}',
        "system.cpu.context_switches", "cybercorp.agent.cpu.time", 'cybercorp.monitor.success{monitor="cpu"}',
    )  # fmt: skip
    assert set(needed) <= both
    portable.close()
    linux.close()


def test_no_monitor_fails_and_shares_are_shares() -> None:
    """Two rows in sequence are read without an event."""
    settings = MonitorSettings()
    clock = ManualClock()
    sampler = Sampler(settings, clock, monitors=portable_monitors(settings))
    clock.advance(1)
    catalogue, body = sampler.sample()
    assert len(body) == 8 * len(catalogue.series)
    assert [one.name for one in sampler.health() if not one.ok] == []
    assert not [one for one in sampler.take_events() if one.kind == "monitor.failed"]


def test_processes_are_those_of_proc() -> None:
    """The processes that both readings saw started at the same time; the own one agrees in everything steady."""
    theirs = {(one.pid, one.name): one for one in PortableProcesses().read()}
    ours = {(one.pid, one.name): one for one in LinuxProcesses().read()}
    both = set(ours) & set(theirs)
    assert len(both) > 1
    for key in both:
        assert ours[key].started_at_ms == pytest.approx(theirs[key].started_at_ms, abs=2000)
        assert math.isfinite(theirs[key].cpu_time_s)
    (own,) = [key for key in both if key[0] == os.getpid()]
    one, other = ours[own], theirs[own]
    assert (one.parent, one.user, one.command, one.state) == (other.parent, other.user, other.command, other.state)
    assert one.rss_bytes == pytest.approx(other.rss_bytes, rel=0.2)
