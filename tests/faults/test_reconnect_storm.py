"""The server is killed under agents that all come back over TLS (F17); `benchmarks/reconnects.py` has ten thousand."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.reconnects import Fleet, fill, owner
from cybercorp.security.certificates import trusting
from cybercorp.server.limits import raise_file_limit
from tests.faults.control_group import ControlGroup
from tests.faults.servers import FaultyServer, finish

BACK_S, API_S, MOST_RSS = 60.0, 1.0, 1.5
LEDGER_AGENTS = 5
QUICK = 10  # times slower, beside other tests on the same cores


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(600)
def test_all_come_back_and_nobody_else_waits(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """Agents with keys, each with its own backoff: all are back within 60 s, the p99 of the API meanwhile is at most
    1 s, the memory at most half as much again; what other agents sent through the cut has no hole."""
    raise_file_limit()
    if sys.platform == "win32":
        pytest.skip("needs uvloop")
    import uvloop

    uvloop.run(prove(tmp_path, times(200, 5000), slower=times(QUICK, 1)))


async def prove(folder: Path, count: int, *, slower: int) -> None:
    """Connect all, kill, start, wait."""
    server = FaultyServer(folder, secure=True)
    server.start()
    server.stop()
    keys = await fill(folder, count)
    server.start()
    credential = owner(folder)
    fleet = Fleet(keys, server.port, trusting(credential.authority))
    task, stop = asyncio.create_task(fleet.run()), asyncio.Event()
    try:
        agents = await asyncio.to_thread(server.agents, LEDGER_AGENTS)
        sending = [asyncio.create_task(one.run(stop)) for one in agents]
        await fleet.until(count)
        while not all(one.acked for one in agents):  # noqa: ASYNC110 - all of them send
            await asyncio.sleep(0.05)
        steady = server.memory_bytes
        server.kill()
        while fleet.connected:  # noqa: ASYNC110 - the kill is noticed by all of them
            await asyncio.sleep(0.01)
        began = time.monotonic()
        await asyncio.to_thread(server.start)
        storm_over, group = asyncio.Event(), ControlGroup(server.url, credential.token)
        asking = asyncio.create_task(group.ask(storm_over))
        peak = 0
        while len(fleet.connected) < count and time.monotonic() - began < BACK_S:
            peak = max(peak, server.memory_bytes)
            await asyncio.sleep(0.05)
        back_s, missing = time.monotonic() - began, count - len(fleet.connected)
        await asyncio.sleep(1)
        storm_over.set()
        answers = await asking
        said = f"{count} back in {back_s:.1f} s, API p99 {answers.p99_s:.2f} s, memory {peak / steady:.2f} times"
        print(said)
        assert missing == 0, f"{missing} are not back"
        assert answers.failed == []
        assert answers.p99_s <= API_S * slower, said
        assert peak <= MOST_RSS * steady, said
        await finish(sending, stop)
        assert await asyncio.to_thread(server.check, agents) == []
        assert all(one.connections > 1 for one in agents)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        with contextlib.suppress(psutil.Error):
            server.kill()
