"""A wall clock that jumps (F11): on the server, on the agent; nothing is lost, nothing is dropped early."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cybercorp.agent.gaps import read_gap
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.events import EventKind
from tests.fakes.server import FakeServer
from tests.faults.agents import FaultyAgent
from tests.faults.ledger import LedgerAgent
from tests.faults.servers import FaultyServer, finish
from tests.faults.shim import Shim, needs_shim
from tests.stack import wait_until

pytestmark = [needs_shim, pytest.mark.timeout(600)]
HOUR_S, DAY_S = 3600, 86_400
JUMPS_S = (-2 * HOUR_S, 2 * HOUR_S, 400 * DAY_S, 0)


async def load_and_jump(shim: Shim, agents: list[LedgerAgent], rest_s: float) -> None:
    """Run the agents while the server's clock jumps about."""
    stop = asyncio.Event()
    running = [asyncio.create_task(agent.run(stop)) for agent in agents]
    for seconds in JUMPS_S:
        await asyncio.sleep(rest_s)
        shim.shift_clock(seconds)
    await asyncio.sleep(rest_s)
    await finish(running, stop)


@pytest.mark.slow
def test_the_servers_clock_jumps(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """Two hours back and ahead, four hundred days ahead, and right again: every acknowledged row is there, once."""
    shim = Shim(tmp_path / "shim", tmp_path)
    server = FaultyServer(tmp_path, shim.environment)
    server.start()
    try:
        agents = server.agents(6)
        asyncio.run(load_and_jump(shim, agents, times(1, 15)))
        assert server.check(agents) == []
        assert all(agent.connections == 1 for agent in agents), "a jump of the wall clock cut a connection"
        events = server.get("/api/v1/events", limit=1000)
        assert isinstance(events, dict)
        assert EventKind.SAMPLES_DROPPED not in {one["kind"] for one in events["events"]}
    finally:
        server.kill()


def more_than(server: FakeServer, count: int) -> None:
    """Wait until so many records have arrived."""
    server.wait_for(lambda: len(server.records) >= count)


@pytest.mark.slow
def test_the_agents_clock_jumps(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """Samples go on at their pace, every number arrives once, the step is told, and no rate is negative."""
    shim = Shim(tmp_path / "shim", tmp_path / "state")
    with FakeServer() as server, FaultyAgent(server.port, tmp_path / "state", shim.environment):
        more_than(server, 10)
        for seconds in JUMPS_S * times(1, 5):
            shim.shift_clock(seconds)
            more_than(server, len(server.records) + 10)
    stream = server.hellos[0].stream
    numbers = server.sequence(stream)
    assert numbers == list(range(1, len(numbers) + 1))
    records = list(server.records.values())
    assert [gap for one in records if (gap := read_gap(one.type, one.body))] == []
    rows = Counter(one.timestamp_ms for one in records if one.type == RecordType.SAMPLES)
    assert max(rows.values()) == 1
    wait_until(lambda: any(EventKind.CLOCK_STEPPED in str(one.body) for one in records), "the step is told")
