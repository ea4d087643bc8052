"""fsync fails (F8): what could not be synced is never acknowledged, not even after a later fsync succeeds."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.ledger import LedgerAgent
from tests.faults.promises import Writer, check_promises
from tests.faults.servers import FaultyServer, finish
from tests.faults.shim import Shim, needs_shim
from tests.stack import wait_until

pytestmark = [needs_shim, pytest.mark.timeout(3600)]


BELIEVES = """
from cybercorp.core.errors import StorageError
from cybercorp.store.timeseries.storage.sqlite import SqliteStorage
append = SqliteStorage.append
def append_and_believe(*arguments):
    try:
        append(*arguments)
    except StorageError:
        pass
SqliteStorage.append = append_and_believe
"""


def fail_and_cut(folder: Path, seed: int, *, before: str = "pass", at_least: int = 1) -> list[str]:
    """Let syncs fail at a random place of log, chunks or checkpoint; go on; cut the power; what is wrong then."""
    chance = random.Random(seed)
    disk = folder / "disk"
    disk.mkdir(parents=True)
    shim = Shim(folder / "shim", disk)
    writer = Writer(disk, shim.environment, before=before)
    try:
        wait_until(lambda: writer.acked, "the first promise")
        shim.fail_syncs(after=chance.randrange(12), count=max(at_least, chance.choice([1, 1, 2, 5])))
        wait_until(lambda: shim.get("failed"), "a failed sync")
        lines = writer.lines
        began = time.monotonic()
        wait_until(lambda: writer.process.poll() is not None or writer.lines > lines + 8, "it goes on, or has ended")
        assert time.monotonic() - began <= 5, f"seed {seed}"
        writer.run_for(chance.uniform(0, 0.3))
    finally:
        writer.process.kill()
        writer.wait()
    findings = []
    for again in range(3):
        target = folder / f"left-{again}"
        shim.cut_power(target, chance)
        findings += [f"seed {seed}, {again}: {one}" for one in check_promises(target, writer.acked)]
    return findings


def test_what_was_not_synced_is_not_acknowledged(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """The kernel tells of lost pages once; whoever tried fsync again and believed it would lose them."""
    for seed in range(times(4, 100)):
        assert fail_and_cut(tmp_path / str(seed), seed) == []


def test_the_checker_finds_who_believes_a_failed_sync(tmp_path: Path) -> None:
    """A store that takes no notice of the error acknowledges what is not there: it is noticed.

    Forty failures in a row reach the log wherever they begin. About every second run loses something; in the others
    a later sync of the same file saved the pages after all, as it may.
    """
    assert any(fail_and_cut(tmp_path / str(seed), seed, before=BELIEVES, at_least=40) for seed in range(40))


async def load_and_fail(shim: Shim, agents: list[LedgerAgent], chance: random.Random, rounds: int) -> None:
    """Run the agents while syncs of the server's files fail now and then."""
    stop = asyncio.Event()
    running = [asyncio.create_task(agent.run(stop)) for agent in agents]
    for _ in range(rounds):
        await asyncio.sleep(chance.uniform(0.1, 1.0))
        failed = shim.get("failed")
        shim.fail_syncs(after=chance.randrange(6), count=chance.choice([1, 2, 6]))
        await asyncio.to_thread(wait_until, lambda failed=failed: shim.get("failed") > failed, "a failed sync")
    shim.set("fail_from", 0)
    await finish(running, stop)


@pytest.mark.slow
def test_a_server_whose_disk_fails_to_sync(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """Samples wait with the agents, the server goes on by itself, and a power cut takes nothing acknowledged."""
    chance = random.Random(8)
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    shim = Shim(tmp_path / "shim", data)
    server = FaultyServer(tmp_path, shim.environment)
    server.start()
    try:
        agents = server.agents(6)
        asyncio.run(load_and_fail(shim, agents, chance, times(3, 60)))
        assert server.check(agents) == []
    finally:
        server.kill()
    left = tmp_path / "left"
    shim.cut_power(left / "data", chance)
    again = FaultyServer(left)
    again.start()
    try:
        assert again.check(agents) == []
    finally:
        again.kill()
