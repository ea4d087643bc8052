"""Real server, real agent, real client library: whatever dies, the history has no hole."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cybercorp import Client
from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.events import EventKind
from cybercorp.protocol.hosts import HostState
from tests.faults.proxy import FaultProxy
from tests.stack import COMMAND, free_port, is_ready, user_environment, wait_until


class Fleet:
    """A server and its agents as processes of one user, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = user_environment(folder)
        self.server = self.start_server()
        self.agents: list[subprocess.Popen[bytes]] = []
        self.client = Client(data_dir=folder / "data")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{arguments[0]}.log").open("ab") as log:
            environment = {**self.environment, **variables}
            return subprocess.Popen([*COMMAND, *arguments], env=environment, stdout=log, stderr=log, cwd=self.folder)

    def start_server(self) -> subprocess.Popen[bytes]:
        """Start the server (again, on the same port and data) and wait until it is ready."""
        self.server = self._start("server", "run", "--port", str(self.port))
        wait_until(lambda: is_ready(self.url), "the server is ready")
        return self.server

    def start_agent(self, name: str, url: str | None = None) -> subprocess.Popen[bytes]:
        """Start an agent; one that has not joined yet gets an enrolment token."""
        token = self.client.agents.create_enrolment().token
        agent = self._start(
            "agent",
            "run",
            "--name",
            name,
            CYBERCORP_AGENT_URL=url or self.url,
            CYBERCORP_AGENT_ENROLMENT_TOKEN=token,
        )
        self.agents.append(agent)
        wait_until(lambda: self.newest_ms(name), f"{name} sends")
        return agent

    def newest_ms(self, name: str) -> int:
        """The newest second of which a sample is stored (not merely received), 0 where there is none."""
        now_ms = _now_ms() // 1000 * 1000
        try:
            counts = self.counts(name, now_ms - 60_000, now_ms + 2000)
        except CyberCorpError:
            return 0
        return max((at for at, count in counts.items() if count), default=0)

    def counts(self, name: str, start_ms: int, end_ms: int) -> dict[int, float | None]:
        """How many samples each second has, as the REST interface tells it."""
        result = self.client.metrics.query(
            "system.cpu.load_average.1m", hosts=name, since=start_ms, until=end_ms, step="1s", aggregation="count"
        )
        return dict(zip(result.timestamps_ms, result.series[0].values, strict=True)) if result.series else {}

    def wait_until_sampled(self, name: str, at_ms: int) -> None:
        """Wait until samples of this instant are stored."""
        wait_until(lambda: self.newest_ms(name) >= at_ms, f"samples of {name} up to {at_ms}", timeout_s=60)

    def holes(self, name: str, from_ms: int, until_ms: int) -> list[int]:
        """The seconds of which there is no sample."""
        return [at for at, count in self.counts(name, from_ms, until_ms + 1000).items() if not count]

    def close(self) -> None:
        self.client.close()
        for process in [*self.agents, self.server]:
            if process.poll() is None:
                process.terminate()
        for process in [*self.agents, self.server]:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A running server; everything started is ended."""
    made = Fleet(tmp_path)
    yield made
    made.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_a_killed_server_leaves_no_hole(fleet: Fleet) -> None:
    """kill -9 twice while an agent sends: every second before, between and after is there."""
    fleet.start_agent("a")
    begin_ms = fleet.newest_ms("a")
    for _ in range(2):
        fleet.wait_until_sampled("a", _now_ms())
        fleet.server.kill()
        fleet.server.wait()
        fleet.start_server()
    fleet.wait_until_sampled("a", _now_ms() + 1000)
    assert fleet.holes("a", begin_ms, fleet.newest_ms("a")) == []


def test_a_cut_network_leaves_no_hole(fleet: Fleet) -> None:
    """Cuts and a silent network between agent and server: what was sampled meanwhile arrives."""
    with FaultProxy(fleet.port) as proxy:
        fleet.start_agent("a", url=f"http://127.0.0.1:{proxy.port}")
        begin_ms = fleet.newest_ms("a")
        for _ in range(3):
            proxy.cut()
            fleet.wait_until_sampled("a", _now_ms())
        proxy.blackhole = True
        blind_ms = _now_ms() + 3000
        wait_until(lambda: _now_ms() > blind_ms, "three silent seconds")
        proxy.blackhole = False
        proxy.cut()
        fleet.wait_until_sampled("a", _now_ms() + 1000)
        assert fleet.holes("a", begin_ms, fleet.newest_ms("a")) == []


def test_a_killed_agent_loses_only_the_seconds_it_was_dead(fleet: Fleet) -> None:
    """kill -9: what it had sampled arrives after its restart; nothing is reported as dropped."""
    agent = fleet.start_agent("a")
    begin_ms = fleet.newest_ms("a")
    fleet.wait_until_sampled("a", begin_ms + 2000)
    killed_ms = _now_ms()
    agent.kill()
    agent.wait()
    fleet.start_agent("a")
    fleet.wait_until_sampled("a", _now_ms())
    back_ms = _now_ms()
    fleet.wait_until_sampled("a", back_ms + 2000)
    holes = fleet.holes("a", begin_ms, fleet.newest_ms("a"))
    assert all(killed_ms - 1000 <= at <= back_ms for at in holes), holes
    kinds = {event.kind for event in fleet.client.events.list(limit=1000).events}
    assert EventKind.SAMPLES_DROPPED not in kinds
    assert EventKind.AGENT_STARTED in kinds


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
