"""Real server, real agent, real client library: whatever dies, the history has no hole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cybercorp.protocol.events import EventKind
from cybercorp.protocol.hosts import HostState
from tests.faults.proxy import FaultProxy
from tests.integration.fleet import Fleet, now_ms
from tests.stack import wait_until


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A running server; everything started is ended."""
    made = Fleet(tmp_path)
    yield made
    made.close()


@pytest.mark.slow
def test_a_killed_server_leaves_no_hole(fleet: Fleet) -> None:
    """kill -9 twice while an agent sends: every second before, between and after is there."""
    fleet.start_agent("a")
    begin_ms = fleet.newest_ms("a")
    for _ in range(2):
        fleet.wait_until_sampled("a", now_ms())
        fleet.server.kill()
        fleet.server.wait()
        fleet.start_server()
    fleet.wait_until_sampled("a", now_ms() + 1000)
    assert fleet.holes("a", begin_ms, fleet.newest_ms("a")) == []


@pytest.mark.slow
def test_a_cut_network_leaves_no_hole(fleet: Fleet) -> None:
    """Cuts and a silent network between agent and server: what was sampled meanwhile arrives."""
    with FaultProxy(fleet.port) as proxy:
        fleet.start_agent("a", url=f"http://127.0.0.1:{proxy.port}")
        begin_ms = fleet.newest_ms("a")
        for _ in range(3):
            proxy.cut()
            fleet.wait_until_sampled("a", now_ms())
        proxy.blackhole = True
        blind_ms = now_ms() + 3000
        wait_until(lambda: now_ms() > blind_ms, "three silent seconds")
        proxy.blackhole = False
        proxy.cut()
        fleet.wait_until_sampled("a", now_ms() + 1000)
        assert fleet.holes("a", begin_ms, fleet.newest_ms("a")) == []


@pytest.mark.slow
def test_a_killed_agent_loses_only_the_seconds_it_was_dead(fleet: Fleet) -> None:
    """kill -9: what it had sampled arrives after its restart; nothing is reported as dropped."""
    agent = fleet.start_agent("a")
    begin_ms = fleet.newest_ms("a")
    fleet.wait_until_sampled("a", begin_ms + 2000)
    killed_ms = now_ms()
    agent.kill()
    agent.wait()
    fleet.start_agent("a")
    fleet.wait_until_sampled("a", now_ms())
    back_ms = now_ms()
    fleet.wait_until_sampled("a", back_ms + 2000)
    holes = fleet.holes("a", begin_ms, fleet.newest_ms("a"))
    assert all(killed_ms - 1000 <= at <= back_ms for at in holes), holes
    kinds = {event.kind for event in fleet.client.events.list(limit=1000).events}
    assert EventKind.SAMPLES_DROPPED not in kinds
    assert EventKind.AGENT_STARTED in kinds


@pytest.mark.slow
def test_several_agents_of_one_machine(fleet: Fleet) -> None:
    """Different names: different hosts, each with its own token, folder and history."""
    for name in ("a", "b", "c"):
        fleet.start_agent(name)
    hosts = fleet.client.hosts.list()
    assert [host.name for host in hosts] == ["a", "b", "c"]
    assert {host.state for host in hosts} == {HostState.ONLINE}
    assert len({host.id for host in hosts}) == 3


def test_live_processes_come_from_the_agent(fleet: Fleet) -> None:
    """A question for processes makes the agent look now: its own process is in the table."""
    agent = fleet.start_agent("a")
    answer = fleet.client.processes.list("a")
    assert answer.live
    assert agent.pid in answer.table.pid


def test_a_removed_host_joins_again_only_with_a_new_token(fleet: Fleet) -> None:
    """Removing revokes: the agent says so; started with an enrolment token, it joins as a new host."""
    agent = fleet.start_agent("a")
    first = fleet.client.hosts.get("a").id
    fleet.client.hosts.remove("a")
    agent.terminate()
    agent.wait(15)
    fleet.start_agent("a")
    assert fleet.client.hosts.get("a").id != first
