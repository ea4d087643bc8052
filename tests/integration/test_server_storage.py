"""A store that has no space left: agents are told to wait, people are told once, and nothing is lost."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import cybercorp.server.services.ingest as ingest
from cybercorp.core.errors import StorageFullError
from cybercorp.protocol.agents import Acknowledge, Refuse
from cybercorp.protocol.events import EventKind
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow, WriteReport
from tests.integration.serving import ServerThread, now_ms
from tests.stack import wait_until


class FillableStore(TimeSeries):
    """The real store, on a disk that a test fills and empties."""

    full = False
    attempts = 0

    def write(self, rows: Sequence[StoredRow]) -> WriteReport:
        if self.full:
            self.attempts += 1
            raise StorageFullError("There is no space left for samples.", hint="Free some space.")
        return super().write(rows)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerThread]:
    """A server with a FillableStore."""
    monkeypatch.setattr("cybercorp.server.main.TimeSeries", FillableStore)
    with ServerThread(tmp_path) as running:
        yield running


def disk(server: ServerThread) -> FillableStore:
    store = server.services.store
    assert isinstance(store, FillableStore)
    return store


def count(server: ServerThread, host: str) -> float:
    """How many rows of a host are stored."""
    asked = {"metric": "load", "selector": host, "aggregation": "count", "step_ms": 7_200_000}
    answer = server.get("/api/v1/metrics/query", **asked, start_ms=now_ms() - 3_600_000)
    return sum(value or 0 for one in answer["series"] for value in one["values"])


def ready(server: ServerThread) -> int:
    return server.http.get("/health/ready").status_code


def test_a_full_disk(server: ServerThread) -> None:
    """Refused with a time to wait, not ready, one event; then stored, acknowledged, ready, one event; all of it there.

    What people look at meanwhile stays live.
    """
    store = disk(server)
    with server.agent("a") as agent:
        agent.announce()
        assert agent.samples(0.1) == 1
        assert agent.expect(Acknowledge).seq == 1
        store.full = True
        agent.samples(0.2)
        refused = agent.expect(Refuse)
        assert (refused.seq, refused.code, refused.retry_after_s > 0) == (1, "storage_full", True)
        agent.samples(0.3)
        assert wait_until(lambda: ready(server) == 503, "not ready")
        assert server.http.get("/health/ready").json()["reason"] == "storage"
        wait_until(lambda: store.attempts >= 2, "another attempt")
        wait_until(lambda: server.get("/api/v1/hosts/a")["summary"]["cpu"] == 0.3, "the live value")
        assert count(server, "a") == 1
        store.full = False
        assert agent.expect(Acknowledge).seq == 3
        assert count(server, "a") == 3
        wait_until(lambda: ready(server) == 200, "ready again")
        server.wait_for_event(EventKind.STORAGE_RECOVERED)
        (failed,) = server.events(EventKind.STORAGE_FAILED)
        assert failed["severity"] == "error"
        assert "Free some space" in failed["message"]


def test_a_reconnect_while_the_disk_is_full(server: ServerThread) -> None:
    """The same rows sent again on a new connection: acknowledged there when they are durable, and stored once."""
    store = disk(server)
    agent = server.agent("a")
    agent.announce()
    store.full = True
    agent.samples(0.1, 0.2, 0.3)
    agent.expect(Refuse)
    agent.close()
    wait_until(lambda: not server.services.agents.find(1), "the end of the first connection")
    again = server.agent("a", agent.token, stream=agent.stream)
    again.announce()
    again.samples(0.1, 0.2, 0.3, seq=1)
    store.full = False
    assert again.expect(Acknowledge).seq == 3
    assert count(server, "a") == 3
    again.close()


def test_memory_is_bounded_while_the_disk_is_full(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits has a limit over all connections; beyond it agents keep their samples; later nothing is missing."""
    monkeypatch.setattr(ingest, "MAX_PENDING_BYTES", 2_000)
    store = disk(server)
    with server.agent("a") as agent:
        agent.announce()
        store.full = True
        for _ in range(30):
            agent.samples(*[0.5] * 10)
        agent.expect(Refuse)
        wait_until(lambda: store.attempts >= 2, "another attempt")
        waiting = server.services.ingest._pending_bytes
        assert waiting < 4_000
        store.full = False
        durable = agent.expect(Acknowledge).seq
        assert 0 < durable < 300
        agent.samples(*[0.5] * (300 - durable), seq=durable + 1)
        while durable < 300:
            durable = agent.expect(Acknowledge).seq
        assert count(server, "a") == 300


def test_a_stop_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends; after the restart welcome tells that nothing was stored, and the rows come again."""
    monkeypatch.setattr("cybercorp.server.main.TimeSeries", FillableStore)
    with ServerThread(tmp_path) as server:
        agent = server.agent("a")
        agent.announce()
        disk(server).full = True
        agent.samples(0.1, 0.2)
        agent.expect(Refuse)
    assert server.error is None
    with ServerThread(tmp_path) as server, server.agent("a", agent.token, stream=agent.stream) as again:
        again.announce()
        again.samples(0.1, 0.2, seq=1)
        assert again.expect(Acknowledge).seq == 2
        assert count(server, "a") == 2


def test_records_on_a_full_disk(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events that cannot be stored end no connection: agents connect, the live picture goes on, changes answer 503."""
    token = server.join("a")

    async def fail(*_: object, **__: object) -> None:
        raise StorageFullError("There is no space left for records.", hint="Free some space.")

    with monkeypatch.context() as patch:
        patch.setattr(server.services.records.events, "append", fail)
        patch.setattr(server.services.records.hosts, "update_facts", fail)
        patch.setattr(server.services.records.hosts, "set_labels", fail)
        with server.agent("a", token) as agent:
            agent.announce()
            agent.samples(0.4)
            assert agent.expect(Acknowledge).seq == 1
            assert server.get("/api/v1/hosts/a")["summary"]["cpu"] == 0.4
            answer = server.http.patch("/api/v1/hosts/a", json={"labels": {"a": "b"}})
            assert (answer.status_code, answer.json()["code"]) == (503, "storage_full")
            assert answer.headers["retry-after"]
        wait_until(lambda: not server.services.agents.find(1), "the end of the connection")
    assert server.http.patch("/api/v1/hosts/a", json={"labels": {"a": "b"}}).status_code == 200


def test_a_damaged_chunk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One event, a count in what the server says of itself, what each tier takes; the server goes on."""
    monkeypatch.setattr("cybercorp.server.jobs.loops.SEAL_S", 0.2)
    with ServerThread(tmp_path) as server, server.agent("a") as agent:
        agent.announce()
        agent.samples(0.1)
        agent.expect(Acknowledge)
        server.services.store.seal(everything=True)
        with contextlib.closing(sqlite3.connect(tmp_path / "samples.db", isolation_level=None, timeout=10)) as database:
            number, body = database.execute("SELECT id, body FROM chunk_bodies ORDER BY id LIMIT 1").fetchone()
            broken = body[:8] + bytes((body[8] ^ 1,)) + body[9:]
            database.execute("UPDATE chunk_bodies SET body = ? WHERE id = ?", (broken, number))
        assert count(server, "a") == 0
        (event,) = server.wait_for_event(EventKind.STORAGE_DAMAGED)
        assert "set aside" in event["message"]
        storage = server.get("/api/v1/server")["storage"]
        assert storage["damaged"] == 1
        assert [one["name"] for one in storage["tiers"]] == ["raw", "1m", "1h", "processes"]
        assert ready(server) == 200
