"""PostgreSQL stopped, killed, cut off and locked under a server with load (F13): nothing acknowledged is lost.

And a power cut of PostgreSQL's machine is as good as its own durability: the server asks for synchronous commits.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.faults.ledger import LedgerAgent
from tests.faults.servers import FaultyServer, finish
from tests.postgres import PostgresServer, postgres_server
from tests.stack import is_ready, wait_until

BACK_S = 10
FAULTS = ("stop immediately", "kill -9", "cut all sessions", "lock hot tables")


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A server of its own that writes as it would in earnest."""
    with postgres_server("shared_buffers = '32MB'", "max_connections = 40") as server:
        yield server


def sessions(postgres: PostgresServer) -> int:
    """How many the server under test has."""
    with psycopg.connect(postgres.url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cybercorp'")
        row = found.fetchone()
    return int(row[0]) if row else 0


def strike(postgres: PostgresServer, fault: str, lasts_s: float) -> None:
    """Do it, and end it."""
    if fault in ("stop immediately", "kill -9"):
        postgres.kill() if fault == "kill -9" else postgres.stop()
        time.sleep(lasts_s)
        postgres.start()
        return
    with psycopg.connect(postgres.url) as connection:
        if fault == "lock hot tables":
            connection.execute(
                "LOCK TABLE cybercorp_samples.log, cybercorp_samples.chunks, cybercorp_records.hosts"
                " IN ACCESS EXCLUSIVE MODE"
            )
            time.sleep(lasts_s)
        else:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )


async def load_and_strike(
    server: FaultyServer, postgres: PostgresServer, agents: list[LedgerAgent], rounds: int, chance: random.Random
) -> list[float]:
    """Run the agents through every fault; returns the seconds until the server was ready again after each."""
    stop = asyncio.Event()
    running = [asyncio.create_task(agent.run(stop)) for agent in agents]
    took = []
    for _ in range(rounds):
        for fault in FAULTS:
            await asyncio.sleep(chance.uniform(0.5, 1.5))
            await asyncio.to_thread(strike, postgres, fault, chance.uniform(0.5, 4.0))
            began = time.monotonic()
            await asyncio.to_thread(wait_until, lambda: is_ready(server.url), f"ready after {fault}", BACK_S)
            await asyncio.to_thread(_acknowledged, agents, fault)
            took.append(time.monotonic() - began)
    await finish(running, stop)
    return took


def _acknowledged(agents: list[LedgerAgent], fault: str) -> None:
    wanted = [agent.sent for agent in agents]
    wait_until(
        lambda: all(agent.acked >= sent for agent, sent in zip(agents, wanted, strict=True)),
        f"all rows acknowledged after {fault}",
        BACK_S,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_acknowledged_is_lost(
    tmp_path: Path, postgres: PostgresServer, times: Callable[[int, int], int]
) -> None:
    """Every row is there once and right; the server answers within ten seconds; no session is left behind."""
    server = FaultyServer(tmp_path, {"CYBERCORP_SERVER_DATABASE_URL": postgres.url})
    server.start()
    try:
        agents = server.agents(times(10, 50))
        before = sessions(postgres)
        chance = random.Random(20261123)
        took = asyncio.run(load_and_strike(server, postgres, agents, times(1, 12), chance))
        assert server.check(agents) == []
        assert all(agent.acked == agent.sent > 10 for agent in agents)
        assert max(took) <= BACK_S
        wait_until(lambda: sessions(postgres) <= max(before, 14) + 2, "as many sessions as before", 10)
        server.kill()
        server.start()
        assert server.check(agents) == []
    finally:
        server.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_server_killed_on_postgresql(
    tmp_path: Path, postgres: PostgresServer, times: Callable[[int, int], int]
) -> None:
    """kill -9 of the server itself: the next one takes over the database at once, and nothing is lost or doubled."""
    server = FaultyServer(tmp_path, {"CYBERCORP_SERVER_DATABASE_URL": postgres.url})
    server.start()
    chance = random.Random(5)

    async def run(agents: list[LedgerAgent]) -> None:
        stop = asyncio.Event()
        running = [asyncio.create_task(agent.run(stop)) for agent in agents]
        for _ in range(times(3, 30)):
            await asyncio.sleep(chance.uniform(0.1, 1.5))
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await finish(running, stop)

    try:
        agents = server.agents(10)
        asyncio.run(run(agents))
        assert server.check(agents) == []
        assert all(agent.connections > 1 for agent in agents)
    finally:
        server.kill()
