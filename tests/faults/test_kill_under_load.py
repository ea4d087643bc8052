"""`kill -9` of a real server under load: after the restarts the history has no hole, no double and no wrong value."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import pytest

from tests.faults.ledger import METRIC, STEP_MS, LedgerAgent, check_ledger, value_of
from tests.stack import COMMAND, free_port, is_ready, user_environment, wait_until

READY_S = 20


class KilledServer:
    """`cybercorp server run` as a process that is killed and started again on the same data and port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "server", "run", "--port", str(self.port)],
                env=user_environment(self.folder),
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        wait_until(lambda: is_ready(self.url), "the server is ready again", READY_S)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    @property
    def owner(self) -> dict[str, str]:
        token = json.loads((self.folder / "data" / "owner.json").read_text())["token"]
        return {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **params: object) -> object:
        answer = httpx.get(f"{self.url}{path}", headers=self.owner, params=params, timeout=30)  # type: ignore[arg-type]
        return answer.raise_for_status().json()


def enrol(server: KilledServer, count: int) -> list[str]:
    """Join hosts `ledger-1…` and return their tokens."""
    made = httpx.post(f"{server.url}/api/v1/agents/enrolments", headers=server.owner, json={"uses": count})
    bearer = {"Authorization": f"Bearer {made.raise_for_status().json()['token']}"}
    tokens = []
    for number in range(1, count + 1):
        body = {"name": f"ledger-{number}"}
        joined = httpx.post(f"{server.url}/api/v1/agents/enrol", headers=bearer, json=body).raise_for_status()
        tokens.append(str(joined.json()["token"]))
    return tokens


async def load_and_kill(server: KilledServer, agents: list[LedgerAgent], kills: int, chance: random.Random) -> None:
    """Run the agents while the server is killed and started again, then let them finish."""
    stop = asyncio.Event()
    running = [asyncio.create_task(agent.run(stop)) for agent in agents]
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.5, 2.0))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    await asyncio.sleep(1)
    stop.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*running)


def read_back(server: KilledServer, agents: list[LedgerAgent]) -> dict[int, list[float | None]]:
    """Every stored row of every agent, by its number; a few steps beyond the last one sent."""
    start_ms = agents[0].start_ms + STEP_MS
    end_ms = start_ms + (max(agent.sent for agent in agents) + 5) * STEP_MS
    answer = server.get(
        "/api/v1/metrics/query",
        metric=METRIC,
        start_ms=start_ms,
        end_ms=end_ms,
        step_ms=STEP_MS,
        aggregation="last",
    )
    assert isinstance(answer, dict)
    assert answer["start_ms"] == start_ms
    return {int(one["host"].removeprefix("ledger-")): one["values"] for one in answer["series"]}


def prove(
    folder: Path, *, count: int, kills: int, seed: int
) -> tuple[list[LedgerAgent], dict[int, list[float | None]]]:
    chance = random.Random(seed)
    server = KilledServer(folder)
    server.start()
    try:
        hosts = server.get("/api/v1/server")
        assert isinstance(hosts, dict)
        start_ms = hosts["clock_ms"] // 1000 * 1000 - 60_000  # nothing lies in the future, whatever the pace
        agents = [LedgerAgent(n, server.url, t, start_ms) for n, t in enumerate(enrol(server, count), start=1)]
        asyncio.run(load_and_kill(server, agents, kills, chance))
        stored = read_back(server, agents)
        info = server.get("/api/v1/server")
        assert isinstance(info, dict)
        assert check_ledger(agents, stored, info["storage"]["samples_total"]) == [], f"seed {seed}"
        assert all(agent.connections > 1 for agent in agents), "nobody was cut: nothing was proven"
        assert all(agent.acked == agent.sent > 10 for agent in agents)
        return agents, stored
    finally:
        server.kill()


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
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_server_killed_again_and_again_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    """Fifty agents, ten kills at random moments."""
    prove(tmp_path, count=50, kills=10, seed=seed)
