"""The server's disk is full (F6): writing waits, looking goes on, and it goes on by itself when there is space."""

import asyncio
import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cybercorp.protocol.events import EventKind
from tests.faults.ledger import LedgerAgent
from tests.faults.servers import FaultyServer, finish
from tests.stack import is_ready

pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="mounts a file system of its own: needs root"
    ),
    pytest.mark.timeout(600),
]
DISK_MB = 64


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    ballast = folder / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return ballast


async def until(what: str, look: object, deadline_s: float) -> float:
    """Wait until `look()` is true; the seconds it took."""
    began = time.monotonic()
    assert callable(look)
    while not await asyncio.to_thread(look):
        assert time.monotonic() - began < deadline_s, f"{what}: not within {deadline_s} s"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def fill_and_free(server: FaultyServer, agents: list[LedgerAgent]) -> float:
    """Fill the disk under load, look around, free it; the seconds until samples were acknowledged again."""
    stop = asyncio.Event()
    running = [asyncio.create_task(agent.run(stop)) for agent in agents]
    await until("the first rows", lambda: all(agent.acked for agent in agents), 10)
    ballast = await asyncio.to_thread(fill, server.data_dir.parent)
    await until("not ready", lambda: not is_ready(server.url), 10)
    acked = [agent.acked for agent in agents]
    await asyncio.to_thread(server.stored, agents)  # history is there to look at
    live = await asyncio.to_thread(server.get, "/api/v1/hosts")
    assert isinstance(live, list)
    assert {one["state"] for one in live} == {"online"}
    refused = await asyncio.to_thread(
        lambda: httpx.patch(f"{server.url}/api/v1/hosts/ledger-1", headers=server.owner, json={"labels": {"a": "b"}})
    )
    assert refused.status_code == 503
    await asyncio.sleep(1)
    assert max(agent.acked for agent in agents) <= max(acked) + 5, "something was acknowledged on a full disk"
    ballast.unlink()
    before = [agent.acked for agent in agents]
    took = await until("acknowledged again", lambda: all(a.acked > b for a, b in zip(agents, before, strict=True)), 10)
    await until("ready again", lambda: is_ready(server.url), 10)
    await finish(running, stop)
    return took


@pytest.mark.slow
def test_a_full_disk_loses_nothing_acknowledged(tmp_path: Path, disk: Path) -> None:
    """Refused, one alarm, answers with 503 what needs space; recovers within five seconds without a restart."""
    server = FaultyServer(tmp_path, {"CYBERCORP_DATA_DIR": str(disk / "data")})
    server.start()
    try:
        agents = server.agents(8)
        assert asyncio.run(fill_and_free(server, agents)) <= 5
        assert server.check(agents) == []
        assert all(agent.acked == agent.sent > 10 for agent in agents)
        events = server.get("/api/v1/events", limit=1000)
        assert isinstance(events, dict)
        kinds = [one["kind"] for one in events["events"]]
        assert kinds.count(EventKind.STORAGE_FAILED) == kinds.count(EventKind.STORAGE_RECOVERED) == 1
    finally:
        server.kill()
