"""A server on PostgreSQL: agents, viewers, restart; and PostgreSQL going away under it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from cybercorp.core.errors import ConflictError, CyberCorpError
from cybercorp.protocol.agents import Acknowledge, Refuse
from cybercorp.protocol.events import EventKind
from tests.integration.serving import DEADLINE_S, AgentPeer, ServerThread, now_ms, problem
from tests.postgres import PostgresServer, postgres_server
from tests.stack import wait_until


def stored(server: ServerThread, host: str) -> float:
    """How many rows of a host are stored."""
    asked = {"metric": "load", "selector": host, "aggregation": "count", "step_ms": 7_200_000}
    answer = server.get("/api/v1/metrics/query", **asked, start_ms=now_ms() - 3_600_000)
    return sum(value or 0 for one in answer["series"] for value in one["values"])


def ready(server: ServerThread) -> int:
    return server.http.get("/health/ready").status_code


def test_agents_viewers_and_a_restart(tmp_path: Path, fresh_database_url: str) -> None:
    """What was acknowledged is there after a restart; the data folder holds no database."""
    with ServerThread(tmp_path, database_url=fresh_database_url) as server:
        with server.agent("web-1") as agent:
            agent.announce()
            agent.samples(0.1, 0.2, 0.3)
            assert agent.expect(Acknowledge).seq == 3
            token, stream = agent.token, agent.stream
        assert stored(server, "web-1") == 3
        assert server.get("/api/v1/server")["storage"]["records_bytes"] > 0
    with ServerThread(tmp_path, database_url=fresh_database_url) as server:
        assert [host["name"] for host in server.get("/api/v1/hosts")] == ["web-1"]
        assert stored(server, "web-1") == 3
        with AgentPeer(server.url, token) as agent:
            agent.stream = stream
            assert agent.greet(oldest_seq=1, newest_seq=3).acked_seq == 3
            agent.announce()
            agent.samples(0.4, seq=4)
            assert agent.expect(Acknowledge).seq == 4
        server.services.store.seal(everything=True)
        assert stored(server, "web-1") == 4
    assert not list(tmp_path.glob("*.db"))


def test_two_servers(tmp_path: Path, fresh_database_url: str) -> None:
    """The second one is refused, and told why."""
    with ServerThread(tmp_path / "a", database_url=fresh_database_url):
        with pytest.raises(ConflictError) as refused, ServerThread(tmp_path / "b", database_url=fresh_database_url):
            pass
        assert refused.value.error_code == "storage_in_use"


def test_a_password_is_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the error of a server that cannot start, nor in its log."""
    url = "postgresql://someone:geheim-7@127.0.0.1:1/there"
    with pytest.raises(CyberCorpError) as refused, ServerThread(tmp_path, database_url=url):
        pass
    assert "postgresql://someone@127.0.0.1:1/there" in str(refused.value)
    assert "geheim" not in str(refused.value) + caplog.text


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A server of its own, to be ill-treated; it writes as it would in earnest."""
    with postgres_server("shared_buffers = '32MB'", "max_connections = 40") as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["stop immediately", "kill -9", "cut all sessions", "lock a table"])
def test_nothing_acknowledged_is_lost(tmp_path: Path, postgres: PostgresServer, fault: str) -> None:
    """Agents are told to wait, the server is not ready, then all is stored and acknowledged; no connection leaks."""
    with ServerThread(tmp_path, database_url=postgres.url) as server, server.agent("a") as agent:
        agent.announce()
        agent.samples(0.1)
        assert agent.expect(Acknowledge).seq == 1
        assert stored(server, "a") == 1
        before, threads = _sessions(postgres), threading.active_count()
        ends = _strike(postgres, fault)
        agent.samples(0.2)
        if fault != "cut all sessions":
            refused = agent.expect(Refuse)
            assert refused.code in ("storage_unreachable", "storage_busy")
            assert refused.retry_after_s > 0
            wait_until(lambda: ready(server) == 503, "not ready", DEADLINE_S)
        agent.samples(0.3)
        ends()
        assert agent.expect(Acknowledge, 10).seq in (2, 3)
        wait_until(lambda: ready(server) == 200, "ready again", 10)
        wait_until(lambda: stored(server, "a") == 3, "all rows", 10)
        if fault != "cut all sessions":
            server.wait_for_event(EventKind.STORAGE_RECOVERED)
        wait_until(lambda: abs(_sessions(postgres) - before) <= 2, "as many sessions as before", 10)
        assert abs(threading.active_count() - threads) <= 2


@pytest.mark.slow
def test_an_idle_server_without_its_database(tmp_path: Path, postgres: PostgresServer) -> None:
    """It says so by itself, answers what it holds in memory, and refuses the rest at once with a time to come again."""
    with ServerThread(tmp_path, database_url=postgres.url) as server:
        server.join("a")
        postgres.stop()
        wait_until(lambda: ready(server) == 503, "not ready", DEADLINE_S)
        began = time.monotonic()
        for _ in range(50):
            answer = server.http.get("/api/v1/events")
            assert problem(answer).code in ("storage_unreachable", "storage_busy")
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "2"
        assert time.monotonic() - began < 10
        assert server.get("/api/v1/hosts")[0]["name"] == "a"
        assert server.http.get("/health/live").status_code == 200
        postgres.start()
        wait_until(lambda: ready(server) == 200, "ready again", 10)
        assert server.events("host.joined")


@pytest.mark.slow
def test_two_hundred_queries_of_a_locked_table(tmp_path: Path, postgres: PostgresServer) -> None:
    """Each is answered or refused in bounded time, agents go on, and nothing is left behind."""
    with ServerThread(tmp_path, database_url=postgres.url) as server, server.agent("a") as agent:
        agent.announce()
        agent.samples(*[0.5] * 20)
        assert agent.expect(Acknowledge).seq == 20
        server.services.store.seal(everything=True)
        assert stored(server, "a") == 20
        before = _sessions(postgres)
        asked = {"metric": "load", "selector": "a", "aggregation": "count", "step_ms": 7_200_000}

        def ask(_: int) -> int:
            headers = {"Authorization": f"Bearer {server.token}"}
            query = {**asked, "start_ms": now_ms() - 3_600_000}
            url = f"{server.url}/api/v1/metrics/query"
            return httpx.get(url, params=query, headers=headers, timeout=60).status_code  # type: ignore[arg-type]

        with psycopg.connect(postgres.url) as holder, ThreadPoolExecutor(200) as many:
            holder.execute("LOCK TABLE cybercorp_samples.chunk_bodies IN ACCESS EXCLUSIVE MODE")
            answers = many.map(ask, range(200))
            agent.samples(0.7)
            assert agent.expect(Acknowledge, 10).seq == 21
            time.sleep(3)
            holder.rollback()
            assert set(answers) <= {200, 503}
        assert stored(server, "a") == 21
        wait_until(lambda: _sessions(postgres) <= before + 10, "readers are bounded", 10)


def _sessions(postgres: PostgresServer) -> int:
    with psycopg.connect(postgres.url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cybercorp'"
        ).fetchone()
    return int(row[0]) if row else 0


def _strike(postgres: PostgresServer, fault: str) -> Callable[[], None]:
    """Do it; returns what ends it."""
    if fault == "stop immediately":
        postgres.stop()
        return postgres.start
    if fault == "kill -9":
        postgres.kill()
        return postgres.start
    connection = psycopg.connect(postgres.url)
    if fault == "lock a table":
        connection.execute("LOCK TABLE cybercorp_samples.log, cybercorp_records.hosts IN ACCESS EXCLUSIVE MODE")
        return connection.close
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    return connection.close
