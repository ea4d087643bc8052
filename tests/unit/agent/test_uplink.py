"""The uplink: whatever happens to the connection, the server gets every record, and gets it in order."""

import selectors
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cybercorp.agent.gaps import read_gap
from cybercorp.agent.log import Log
from cybercorp.agent.spool import Spool
from cybercorp.agent.uplink import Uplink
from cybercorp.agent.wake import Wake
from cybercorp.client.agent_connection import AgentConnection
from cybercorp.client.backoff import Backoff
from cybercorp.core.clock import SystemClock
from cybercorp.protocol.agents import MAX_RECORDS_BYTES, RecordType, Refuse, Watch
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.metrics import Series, make_catalogue
from cybercorp.protocol.problems import Problem
from cybercorp.protocol.processes import ProcessTable
from cybercorp.security.credentials import Credential
from tests.fakes.server import FakeServer
from tests.faults.proxy import FaultProxy
from tests.joined import credential_of, joined, new_key

CATALOGUE = make_catalogue([Series(name="a"), Series(name="b")])
DEADLINE_S = 15


class Agent:
    """A spool and an uplink in a loop, as the runner has them, without the monitors."""

    def __init__(self, folder: Path, port: int, *, spool_bytes: int = 64 << 20) -> None:
        self.lines: list[str] = []
        self.clock = SystemClock()
        self.selector = selectors.DefaultSelector()
        self.wake = Wake()
        self.spool = Spool(folder, max_bytes=spool_bytes, clock=self.clock, report=self.lines.append)
        self.spool.add_catalogue(CATALOGUE)
        self.uplink = Uplink(
            credential_of(joined("host_1", new_key()), f"http://127.0.0.1:{port}"),
            self.spool,
            self.selector,
            self.wake,
            self.clock,
            Log(self.clock, self.lines.append),
            interval_ms=1000,
            read_facts=lambda: HostFacts(hostname="h"),
            backoff=Backoff(first_s=0.01, cap_s=0.05),
            timeout_s=2,
        )
        self.selector.register(self.wake, selectors.EVENT_READ)

    def tick(self, count: int = 1, size: int = 16) -> None:
        """Append and commit as the runner does once a second."""
        for _ in range(count):
            self.spool.append(RecordType.SAMPLES, self.spool.next_seq * 1000, b"x" * size, CATALOGUE.id)
            self.spool.commit(self.uplink.sent_seq)

    def run_until(self, condition: Callable[[], object]) -> None:
        """Turn the loop until the condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, self.lines
            for key, events in self.selector.select(min(0.05, self.uplink.wait_s())):
                if key.fileobj is self.wake:
                    self.wake.drain()
                else:
                    self.uplink.on_ready(
                        readable=bool(events & selectors.EVENT_READ), writable=bool(events & selectors.EVENT_WRITE)
                    )
            self.uplink.poll()

    def run_until_drained(self) -> None:
        """Everything is acknowledged."""
        self.run_until(lambda: self.spool.acked_seq == self.spool.next_seq - 1)

    def close(self) -> None:
        self.uplink.close()
        self.spool.close()
        self.selector.close()
        self.wake.close()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A fake server."""
    with FakeServer() as fake:
        yield fake


@pytest.fixture
def agent(server: FakeServer, tmp_path: Path) -> Iterator[Agent]:
    """An agent of that server."""
    made = Agent(tmp_path, server.port)
    yield made
    made.close()


def _run_until_passed(agent: Agent, proxy: FaultProxy, count: int) -> None:
    agent.run_until(lambda: proxy.bytes_passed > count)


def _whole(server: FakeServer, agent: Agent) -> bool:
    return server.sequence(agent.spool.stream) == list(range(1, agent.spool.next_seq))


def test_records_arrive_and_are_dropped_when_acknowledged(server: FakeServer, agent: Agent) -> None:
    """Hello, welcome, catalogue, records, acknowledgement: then the spool is empty."""
    agent.tick(5)
    agent.run_until_drained()
    agent.tick(1)
    agent.run_until_drained()
    agent.spool.commit()
    assert _whole(server, agent)
    assert agent.spool.size_bytes == 0
    assert server.hellos[0].facts.hostname == "h"
    assert (server.hellos[0].oldest_seq, server.hellos[0].newest_seq) == (1, 5)
    assert list(server.catalogues) == [CATALOGUE.id]


def test_a_long_spool_is_drained_in_messages_that_fit(server: FakeServer, agent: Agent) -> None:
    """Thousands of rows go in batches below the limit, in order, and none is missing."""
    agent.tick(3000, size=1500)
    agent.run_until_drained()
    assert _whole(server, agent)
    assert MAX_RECORDS_BYTES < 3000 * 1500 / 20


def test_a_server_that_is_away_costs_nothing(server: FakeServer, agent: Agent) -> None:
    """Gone before the first word, back later: the same rows, one line in the log per failure, not per try."""
    server.stop()
    agent.tick(10)
    agent.run_until(lambda: any("No server answers" in line for line in agent.lines))
    started = time.monotonic()
    agent.run_until(lambda: time.monotonic() - started > 0.5)
    assert sum("No server answers" in line for line in agent.lines) == 1
    server.start()
    agent.run_until_drained()
    assert _whole(server, agent)


def test_cuts_in_the_middle_lose_nothing(server: FakeServer, tmp_path: Path) -> None:
    """Ten cuts while thousands of rows are on their way: every number arrives."""
    with FaultProxy(server.port) as proxy:
        agent = Agent(tmp_path, proxy.port)
        for _ in range(10):
            agent.tick(300, size=1000)
            _run_until_passed(agent, proxy, proxy.bytes_passed + 50_000)
            proxy.cut()
        agent.run_until_drained()
        assert _whole(server, agent)
        agent.close()


def test_without_acknowledgement_nothing_is_dropped(server: FakeServer, agent: Agent) -> None:
    """A server that takes and never confirms: the window fills, the spool keeps everything, later all is sent again."""
    server.acknowledging = False
    agent.tick(2000, size=1000)
    agent.run_until(lambda: agent.uplink.connected and agent.uplink.sent_seq > 100)
    sent = agent.uplink.sent_seq
    assert sent < 2000
    assert agent.spool.acked_seq == 0
    server.acknowledging = True
    server.cut()
    agent.run_until_drained()
    assert _whole(server, agent)


def test_a_refusal_is_waited_for(server: FakeServer, agent: Agent) -> None:
    """Disk full at the server: keep everything, come again after the time it said; one line in the log."""
    server.refusing = Refuse(seq=0, retry_after_s=0.1, code="storage_full", detail="The disk is full.")
    agent.tick(20)
    agent.run_until(lambda: any("disk is full" in line for line in agent.lines))
    assert agent.spool.acked_seq == 0
    assert agent.uplink.wait_s() <= 0.1
    server.refusing = None
    agent.run_until_drained()
    assert _whole(server, agent)
    assert sum("disk is full" in line for line in agent.lines) == 1


def test_an_unknown_catalogue_is_announced_again(server: FakeServer, agent: Agent) -> None:
    """The server lost its catalogues: they come again, and the rows after them."""
    agent.tick(3)
    agent.run_until_drained()
    server.catalogues.clear()
    server.acknowledging = False
    agent.tick(2)
    agent.run_until(lambda: _whole(server, agent))
    server.acknowledging = True
    told = Problem(type="urn:x", title="t", status=409, code="unknown_catalogue", detail="?")
    server.send("problem", told)
    agent.run_until_drained()
    assert list(server.catalogues) == [CATALOGUE.id]


def test_a_lost_catalogue_is_a_reported_loss(server: FakeServer, agent: Agent) -> None:
    """Rows that nobody can read do not block those that follow."""
    agent.spool.append(RecordType.SAMPLES, 1, b"?", "never-announced")
    agent.tick(2)
    agent.run_until_drained()
    first = server.records[agent.spool.stream, 1]
    gap = read_gap(first.type, first.body)
    assert gap is not None
    assert gap.reason == "catalogue_lost"
    assert _whole(server, agent)


def test_a_restart_sends_only_what_is_not_acknowledged(server: FakeServer, tmp_path: Path) -> None:
    """Same stream, and the rows of before with their catalogue."""
    (tmp_path / "a").mkdir()
    first = Agent(tmp_path / "a", server.port)
    first.tick(5)
    first.run_until_drained()
    stream = first.spool.stream
    first.uplink.close()
    first.tick(5)
    first.close()
    server.records.clear()
    server.catalogues.clear()
    second = Agent(tmp_path / "a", server.port)
    second.spool._catalogues.clear()  # this run has not sampled yet
    second.run_until_drained()
    assert server.sequence(stream) == [6, 7, 8, 9, 10]
    assert list(server.catalogues) == [CATALOGUE.id]
    second.close()


def test_a_server_that_knows_more_gets_a_new_stream(server: FakeServer, agent: Agent) -> None:
    """Numbers that were given twice would be taken for duplicates: the rows come in a stream of another name."""
    old = agent.spool.stream
    server.acked[old] = 500
    agent.tick(5)
    agent.run_until(lambda: agent.spool.stream != old)
    agent.run_until_drained()
    assert _whole(server, agent)


def test_a_revoked_token_is_said_and_remembered(server: FakeServer, agent: Agent) -> None:
    """One line names it; the runner can see it; nothing is lost meanwhile."""
    server.rejecting = Problem(type="urn:x", title="t", status=401, code="unauthenticated", detail="Token revoked.")
    agent.tick(3)
    agent.run_until(lambda: agent.uplink.unauthenticated is not None)
    assert "Token revoked" in agent.lines[0]
    server.rejecting = None
    agent.run_until_drained()
    assert agent.uplink.unauthenticated is None
    assert _whole(server, agent)


def test_a_token_revoked_while_connected_is_said(server: FakeServer, agent: Agent) -> None:
    """The server ends the connection with 1008."""
    agent.run_until(lambda: agent.uplink.connected)
    closer = threading.Thread(target=server.close_all, args=(1008, "unauthenticated: the token was revoked"))
    closer.start()
    agent.run_until(lambda: agent.uplink.unauthenticated is not None)
    closer.join()
    assert any("revoked" in line for line in agent.lines)


def test_two_agents_of_one_host_are_told(server: FakeServer, agent: Agent) -> None:
    """The later one says so and comes again."""
    agent.run_until(lambda: agent.uplink.connected)
    told = Problem(type="urn:x", title="t", status=409, code="agent_already_connected", detail="Another agent is here.")
    server.send("problem", told)
    agent.run_until(lambda: any("Another agent" in line for line in agent.lines))
    agent.tick(3)
    agent.run_until_drained()


def test_garbage_from_the_server_is_survived(server: FakeServer, agent: Agent) -> None:
    """A broken message ends the connection, not the agent."""
    agent.run_until(lambda: agent.uplink.connected)
    server.send_bytes(b"\xc1\xc1")
    agent.run_until(lambda: len(server.hellos) == 2)
    agent.tick(3)
    agent.run_until_drained()


def test_tables_go_only_while_somebody_watches(server: FakeServer, agent: Agent) -> None:
    """`agent.watch` says how often; the table is no record of the stream."""
    agent.run_until(lambda: agent.uplink.connected)
    assert agent.uplink.watch_interval_ms == 0
    server.send("agent.watch", Watch(processes_interval_ms=1000))
    agent.run_until(lambda: agent.uplink.watch_interval_ms == 1000)
    assert agent.uplink.send_processes(ProcessTable(timestamp_ms=5, total=0))
    agent.run_until(lambda: server.tables)
    server.cut()
    agent.run_until(lambda: not agent.uplink.connected)
    assert agent.uplink.watch_interval_ms == 0
    assert not agent.uplink.send_processes(ProcessTable(timestamp_ms=6, total=0))


def test_a_bug_while_connecting_ends_in_a_retry(tmp_path: Path, server: FakeServer) -> None:
    """The connecting thread never dies silently."""
    agent = Agent(tmp_path, server.port)
    calls = 0
    real = agent.uplink._opener

    def opener(credential: Credential, timeout_s: float) -> AgentConnection:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("a bug")
        return real(credential, timeout_s)

    agent.uplink._opener = opener
    agent.tick(2)
    agent.run_until_drained()
    assert any("RuntimeError: a bug" in line for line in agent.lines)
    agent.close()


def test_a_gap_reaches_the_server(server: FakeServer, tmp_path: Path) -> None:
    """The spool overflowed while the server was away: the numbers that are missing are reported, the rest is there."""
    server.stop()
    agent = Agent(tmp_path, server.port, spool_bytes=100_000)
    agent.tick(500, size=1000)
    server.start()
    agent.run_until_drained()
    numbers = server.sequence(agent.spool.stream)
    first = server.records[agent.spool.stream, numbers[0]]
    gap = read_gap(first.type, first.body)
    assert gap is not None
    assert gap.first_seq == 1
    assert numbers == list(range(gap.last_seq, 501))
    agent.close()
