"""`kill -9` of a real server under load (F1): after the restarts the history has no hole, no double, no wrong value."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.faults.ledger import LedgerAgent, check_ledger, value_of
from tests.faults.servers import FaultyServer, finish


async def load_and_kill(server: FaultyServer, agents: list[LedgerAgent], kills: int, chance: random.Random) -> None:
    """Run the agents while the server is killed and started again, then let them finish."""
    stop = asyncio.Event()
    running = [asyncio.create_task(agent.run(stop)) for agent in agents]
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.1, 2.0))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    await finish(running, stop)


def prove(
    folder: Path, *, count: int, kills: int, seed: int
) -> tuple[list[LedgerAgent], dict[int, list[float | None]]]:
    """Load, kill, check; returns the ledger and what is stored."""
    chance = random.Random(seed)
    server = FaultyServer(folder)
    server.start()
    try:
        agents = server.agents(count)
        asyncio.run(load_and_kill(server, agents, kills, chance))
        assert server.check(agents) == [], f"seed {seed}"
        assert all(agent.connections > 1 for agent in agents), "nobody was cut: nothing was proven"
        assert all(agent.acked == agent.sent > 10 for agent in agents)
        return agents, server.stored(agents)
    finally:
        server.kill()


@pytest.mark.slow
def test_a_server_killed_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Twelve agents at ten rows a second through three kills; and the checker sees what it is there to see."""
    agents, stored = prove(tmp_path, count=12, kills=3, seed=20261123)
    total = sum(value is not None for values in stored.values() for value in values) * 2

    lost: Mapping[int, Sequence[float | None]] = {
        **stored,
        1: [None if i == 6 else value for i, value in enumerate(stored[1])],
    }
    assert any("acknowledged rows are lost, the first is 7" in one for one in check_ledger(agents, lost, total - 2))
    changed: Mapping[int, Sequence[float | None]] = {
        **stored,
        2: [-1.0 if i == 3 else value for i, value in enumerate(stored[2])],
    }
    assert any("another value, the first is 4" in one for one in check_ledger(agents, changed, total))
    invented: Mapping[int, Sequence[float | None]] = {**stored, 3: [value_of(3, i + 1) for i in range(len(stored[3]))]}
    assert any("never sent" in one for one in check_ledger(agents, invented, total))
    assert any("stored twice" in one for one in check_ledger(agents, stored, total + 2))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_server_killed_again_and_again_loses_and_doubles_nothing(
    tmp_path: Path, seed: int, times: Callable[[int, int], int]
) -> None:
    """Fifty agents, many kills at random moments."""
    prove(tmp_path, count=times(50, 100), kills=times(8, 50), seed=seed)
