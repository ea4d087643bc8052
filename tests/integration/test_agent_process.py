"""The real agent as a process, against a fake server that shows every fault on demand."""

import os
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cybercorp.agent.gaps import read_gap
from cybercorp.protocol.agents import RecordType, Refuse, Watch
from cybercorp.protocol.events import AgentEvent, EventKind
from cybercorp.protocol.processes import ProcessTable
from tests.fakes.server import FakeServer
from tests.faults.agents import QUICK_MS, SCRIPT, FaultyAgent
from tests.faults.proxy import FaultProxy

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses prlimit and /proc")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A fake server."""
    with FakeServer() as fake:
        yield fake


@pytest.fixture
def agent(server: FakeServer, tmp_path: Path) -> Iterator[FaultyAgent]:
    """An agent of that server; killed at the end if it still runs."""
    made = FaultyAgent(server.port, tmp_path / "state")
    yield made
    if made.process.poll() is None:
        made.kill()


def _stream(server: FakeServer) -> str:
    return server.hellos[0].stream


def _count(server: FakeServer, count: int) -> None:
    server.wait_for(lambda: len(server.records) >= count)


def _assert_whole(server: FakeServer) -> None:
    """One stream, every number from 1, no gap reported, and one row for each instant."""
    assert {hello.stream for hello in server.hellos} == {_stream(server)}
    numbers = server.sequence(_stream(server))
    assert numbers == list(range(1, len(numbers) + 1))
    records = list(server.records.values())
    assert [gap for one in records if (gap := read_gap(one.type, one.body))] == []
    times = Counter(one.timestamp_ms for one in records if one.type == RecordType.SAMPLES)
    assert max(times.values()) == 1
    assert server.conflicts == []


def test_a_healthy_agent(server: FakeServer, agent: FaultyAgent) -> None:
    """Samples that fit their catalogue and lie on the grid, top processes, its start; small, and clean on SIGTERM."""
    _count(server, 20)
    rows = [one for one in server.records.values() if one.type == RecordType.SAMPLES]
    for row in rows:
        assert len(row.body) == 8 * len(server.catalogues[row.catalogue].series)
    tables = [one for one in server.records.values() if one.type == RecordType.PROCESSES]
    table = msgspec.msgpack.decode(tables[0].body, type=ProcessTable)
    assert agent.process.pid in table.pid or table.total > len(table.pid) > 0
    events = [one for one in server.records.values() if one.type == RecordType.EVENT]
    assert msgspec.msgpack.decode(events[0].body, type=AgentEvent).kind == EventKind.AGENT_STARTED
    times = sorted(row.timestamp_ms for row in rows)
    assert sum(time_ms % QUICK_MS == 0 for time_ms in times) >= len(times) / 2  # on the grid, unless it was too busy
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    rss_kib = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert rss_kib < 45 * 1024
    assert agent.stop() < 2
    assert all(" agent: " in line for line in agent.lines())
    _assert_whole(server)


def test_a_server_restart_leaves_no_hole(server: FakeServer, agent: FaultyAgent) -> None:
    """Away for a while: what was sampled meanwhile comes when it is back."""
    _count(server, 5)
    server.stop()
    before = max(one.timestamp_ms for one in server.records.values())
    time_passed = agent.folder / "spool.db-wal"
    size = time_passed.stat().st_size
    deadline = time.monotonic() + 10
    while time_passed.stat().st_size < size + 50_000:  # the agent goes on writing
        assert time.monotonic() < deadline
        os.sched_yield()
    server.start()
    _count(server, len(server.records) + 15)
    agent.stop()
    _assert_whole(server)
    assert max(one.timestamp_ms for one in server.records.values()) > before


@pytest.mark.slow
def test_a_bad_network_leaves_no_hole(server: FakeServer, tmp_path: Path) -> None:
    """Cut again and again, with latency: every number arrives."""
    with FaultProxy(server.port) as proxy:
        proxy.latency_s, proxy.jitter_s = 0.02, 0.02
        agent = FaultyAgent(proxy.port, tmp_path / "state")
        try:
            for _ in range(6):
                _count(server, len(server.records) + 4)
                proxy.cut()
            _count(server, len(server.records) + 4)
            agent.stop()
        finally:
            agent.kill()
    _assert_whole(server)


@pytest.mark.slow
def test_a_full_disk_here_stops_nothing(server: FakeServer, agent: FaultyAgent) -> None:
    """RLIMIT_FSIZE: sampling and sending go on, the log stays short, and it recovers without a restart."""
    _count(server, 5)
    soft, hard = resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (4096, hard))
    _count(server, len(server.records) + 15)
    resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
    _count(server, len(server.records) + 10)
    agent.stop()
    _assert_whole(server)
    assert sum("cannot be written" in line for line in agent.lines()) <= 2


def test_a_full_disk_there_loses_nothing(server: FakeServer, agent: FaultyAgent) -> None:
    """Refused rows stay in the spool and come again."""
    _count(server, 5)
    server.refusing = Refuse(seq=0, retry_after_s=0.2, code="storage_full", detail="The disk is full.")
    passed = len(server.hellos)
    known = len(server.records)
    server.wait_for(lambda: any("disk is full" in line for line in agent.lines()))
    assert len(server.records) == known
    server.refusing = None
    _count(server, known + 10)
    agent.stop()
    _assert_whole(server)
    assert len(server.hellos) == passed


def test_watching_brings_whole_tables(server: FakeServer, agent: FaultyAgent) -> None:
    """While somebody looks, the full table comes; when nobody does, it stops."""
    _count(server, 3)
    server.send("agent.watch", Watch(processes_interval_ms=200))
    server.wait_for(lambda: len(server.tables) >= 3)
    assert all(not table.partial and agent.process.pid in table.pid for table in server.tables)
    server.send("agent.watch", Watch(processes_interval_ms=0))
    _count(server, len(server.records) + 5)
    tables = len(server.tables)
    _count(server, len(server.records) + 10)
    assert len(server.tables) <= tables + 1


def test_a_second_agent_of_one_folder_is_told(server: FakeServer, agent: FaultyAgent) -> None:
    """It names the pid that holds it and ends with an error."""
    _count(server, 1)
    second = subprocess.run(
        [sys.executable, "-c", SCRIPT, server.url, str(agent.folder), "1000"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert f"pid {agent.process.pid}" in second.stderr
    assert second.stderr.startswith("agent_running")
