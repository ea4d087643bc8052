"""The fleet in memory: states by age, summaries by row, order by column."""

import struct
from typing import Any

import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.protocol.hosts import HostFacts, HostSort, HostState, HostSummary
from cybercorp.protocol.metrics import Catalogue, MetricKind, Series, make_catalogue
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.selectors import parse_host_selector
from cybercorp.server.services.fleet import (
    HISTORY_STEP_MS,
    UNKNOWN_STEP,
    Fleet,
    LiveHost,
    count_states,
    sort_summaries,
)
from cybercorp.server.services.views import ALL
from cybercorp.server.services.windows import WindowService
from cybercorp.store.records.hosts import HostRow

NETWORK = [
    Series(name="system.network.io", kind=MetricKind.COUNTER, attributes={"device": device, "direction": direction})
    for device in ("lo", "eth0", "eth1")
    for direction in ("receive", "transmit")
]
SMALL = make_catalogue([Series(name="system.cpu.utilization"), *NETWORK])
T = ManualClock().now_ms()


def record(key: int, name: str, **fields: Any) -> HostRow:
    values = {"labels": {}, "facts": HostFacts(), "joined_at_ms": 0, **fields}
    return HostRow(key=key, id=f"host_{key}", name=name, **values)


def row(cpu: float, *network: float, catalogue: Catalogue = SMALL) -> bytes:
    rest = [*network, *[0.0] * (len(catalogue.series) - 1 - len(network))]
    return struct.pack(f"<{len(catalogue.series)}d", cpu, *rest)


@pytest.mark.parametrize(
    ("age_ms", "interval_ms", "state"),
    [
        (0, 1000, HostState.ONLINE),
        (4_999, 1000, HostState.ONLINE),
        (5_000, 1000, HostState.STALE),
        (60_000, 1000, HostState.OFFLINE),
        (60_000, 30_000, HostState.ONLINE),
        (100_000, 30_000, HostState.STALE),
        (180_000, 30_000, HostState.OFFLINE),
        (-3_600_000, 1000, HostState.OFFLINE),
    ],
)
def test_states(age_ms: int, interval_ms: int, state: HostState) -> None:
    """By the age of what was heard and the host's interval; a server whose clock was set back trusts no old stamp."""
    host = LiveHost(record(1, "a", interval_ms=interval_ms, seen_at_ms=T - age_ms))
    assert host.state(T) is state


def test_a_host_that_never_sent_is_offline() -> None:
    """Nothing is known of it, and its summary says so."""
    host = LiveHost(record(1, "a"))
    assert host.state(T) is HostState.OFFLINE
    summary = host.summary(T)
    assert (summary.cpu, summary.seen_at_ms, summary.top_process, summary.cpu_history) == (None, None, None, b"")


def test_rates_of_the_network() -> None:
    """Sums over devices but loopback; a counter that was reset began at nothing; unknown after a new catalogue."""
    host = LiveHost(record(1, "a"))
    host.take_row(SMALL, T, row(0.5, 9, 9, 1000, 100, 1000, 100), T)
    assert host.values().network_receive is None
    host.take_row(SMALL, T + 2000, row(0.5, 9999, 9999, 3000, 300, 2000, 200), T + 2000)
    assert host.values().network_receive == 1500
    assert host.values().network_transmit == 150
    host.take_row(SMALL, T + 3000, row(0.5, 0, 0, 500, 0, 2000, 200), T + 3000)
    assert host.values().network_receive == 500
    other = make_catalogue([*SMALL.series, Series(name="x")])
    host.take_row(other, T + 4000, row(0.5, catalogue=other), T + 4000)
    assert host.values().network_receive is None


def test_older_rows_change_nothing_but_the_time_of_contact() -> None:
    """A clock that was set back: values and catalogue stay those of the newest row; a far future is given up."""
    host = LiveHost(record(1, "a"))
    other = make_catalogue([*SMALL.series, Series(name="x")])
    assert host.take_row(SMALL, T, row(0.5), T)
    assert not host.take_row(other, T - 1, row(0.9, catalogue=other), T + 1000)
    assert (host.values().cpu, host.catalogue, host.seen_at_ms) == (0.5, SMALL, T + 1000)
    assert host.take_row(SMALL, T + 10**8, row(0.6), T + 2000)
    assert host.take_row(SMALL, T + 3000, row(0.7), T + 3000)
    assert host.values().cpu == 0.7


def test_history() -> None:
    """One byte for ten seconds, oldest first; unknown where nothing was sent; it moves on while a host is silent."""
    host = LiveHost(record(1, "a"))
    begin = T - T % 10_000
    for step, cpu in ((0, 0.1), (1, 0.2), (3, float("nan")), (4, 1.7)):
        host.take_row(SMALL, begin + step * 10_000, row(cpu), begin)
    assert list(host.history(begin + 40_000)[-5:]) == [20, 40, UNKNOWN_STEP, UNKNOWN_STEP, 200]
    assert list(host.history(begin + 60_000)[-3:]) == [200, UNKNOWN_STEP, UNKNOWN_STEP]
    assert set(host.history(begin + 10**7)) == {UNKNOWN_STEP}
    assert len(host.history(begin + 10**7)) == 30


def test_the_top_process() -> None:
    """The busiest, with a bounded name; unknown CPU counts as none; an older table does not replace it."""
    host = LiveHost(record(1, "a", seen_at_ms=T))
    host.take_table(ProcessTable(timestamp_ms=T, total=2, pid=[1, 2], name=["a", "b" * 100], cpu=[None, 0.5]), T)
    host.take_table(ProcessTable(timestamp_ms=T - 1, total=1, pid=[3], name=["old"], cpu=[9.0]), T)
    summary = host.summary(T)
    assert (summary.top_process, summary.top_process_cpu) == ("b" * 64, 0.5)


def summaries() -> list[HostSummary]:
    values: list[tuple[str, float | None]] = [("d", 0.2), ("a", 0.2), ("c", None), ("b", 0.9), ("e", None)]
    return [HostSummary(id=name, name=name, state=HostState.ONLINE, cpu=cpu) for name, cpu in values]


@pytest.mark.parametrize(
    ("sort", "descending", "order"),
    [
        (HostSort.NAME, False, "abcde"),
        (HostSort.NAME, True, "edcba"),
        (HostSort.CPU, False, "adbce"),
        (HostSort.CPU, True, "badce"),
        (HostSort.STATE, True, "abcde"),
        (HostSort.SEEN, True, "abcde"),
    ],
)
def test_order(sort: HostSort, descending: bool, order: str) -> None:
    """Equal values by name, unknown ones last in either direction."""
    assert "".join(one.name for one in sort_summaries(summaries(), sort, descending)) == order


@pytest.mark.parametrize("sort", list(HostSort))
def test_every_column_can_be_sorted(sort: HostSort) -> None:
    """Ascending and descending, nobody is lost."""
    for descending in (False, True):
        assert {one.name for one in sort_summaries(summaries(), sort, descending)} == set("abcde")


def test_names_change_and_hosts_go() -> None:
    """A changed row keeps the live values; old names and removed hosts are not found."""
    fleet = Fleet(ManualClock())
    host = fleet.add(record(1, "a"))
    host.take_row(SMALL, T, row(0.5), T)
    assert fleet.add(record(1, "b")) is host
    assert (fleet.find("a"), fleet.find("b"), fleet.find("host_1"), fleet.names()) == (None, host, host, ["b"])
    assert [one.name for one in fleet.select([parse_host_selector("cpu>40")])] == ["b"]
    fleet.remove(host)
    assert (fleet.find("b"), fleet.by_key(1), len(fleet)) == (None, None, 0)


def test_a_name_that_was_taken_over() -> None:
    """Two hosts that change names at once: whatever is heard first, each is found by the name it has now."""
    fleet = Fleet(ManualClock())
    first, second = fleet.add(record(1, "a")), fleet.add(record(2, "b"))
    fleet.add(record(2, "a"))
    fleet.add(record(1, "c"))
    assert (fleet.find("a"), fleet.find("b"), fleet.find("c")) == (second, None, first)


def test_snapshots_are_shared() -> None:
    """Made at most every 0.4 s however many look, and anew at once when hosts came or went."""
    clock = ManualClock()
    fleet = Fleet(clock)
    windows = WindowService(fleet, clock)
    host = fleet.add(record(1, "a"))
    first = windows.now(ALL)
    clock.advance(0.3)
    assert windows.now(ALL) is first
    clock.advance(0.2)
    second = windows.now(ALL)
    assert second is not first
    host.take_row(SMALL, clock.now_ms(), row(0.5), clock.now_ms())
    windows.forget()
    window = windows.now(ALL).window("", HostSort.NAME, False, offset=0, limit=10, pinned="host_1")
    assert (window.rows[0].cpu, window.pinned_rank) == (0.5, 0)
    assert count_states(window.rows).online == 1


def test_history_of_before_is_joined_with_what_was_heard_since() -> None:
    """After a restart rows may come before the store was read: neither hides the other."""
    host, late = LiveHost(record(1, "a")), LiveHost(record(2, "b"))
    catalogue = make_catalogue([Series(name="system.cpu.utilization")])
    step = T // HISTORY_STEP_MS
    host.take_row(catalogue, step * HISTORY_STEP_MS, struct.pack("<d", 0.5), T)
    host.fill_history(step, [0.1, 0.2, 0.9])
    assert list(host.history(step * HISTORY_STEP_MS)[-4:]) == [UNKNOWN_STEP, 20, 40, 100]
    late.take_row(catalogue, (step + 1) * HISTORY_STEP_MS, struct.pack("<d", 0.5), T)
    late.fill_history(step, [0.1, 0.2])
    assert list(late.history((step + 1) * HISTORY_STEP_MS)[-4:]) == [UNKNOWN_STEP, 20, 40, 100]
