"""`kill -9` at random points under load: what was acknowledged is stored, once, as it was sent."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cybercorp.protocol.metrics import Aggregation
from tests.unit.store.building import CPU, DISK, FIRST, START_MS, ask, open_store
from tests.unit.store.timeseries.sender import STEP_MS, value_of

HOSTS = 4
ROOT = Path(__file__).parents[4]


def _run_and_kill(folder: Path, chance: random.Random) -> dict[int, int]:
    """Start the sender, kill it at a random moment; what it was promised."""
    command = [sys.executable, "-m", "tests.unit.store.timeseries.sender", str(folder), str(HOSTS)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        told = [first]
        reader = threading.Thread(target=told.extend, args=(process.stdout,))
        reader.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.01, 0.4))
        process.kill()
        process.wait(10)
        reader.join(10)
    acked: dict[int, int] = {}
    for line in told:
        if line.endswith("\n"):  # the last one may be cut by the kill
            host, seq = map(int, line.split())
            acked[host] = seq
    return acked


def _check_ledger(folder: Path, acked: dict[int, int]) -> int:
    """acknowledged ⊆ stored, nothing twice, values equal; returns the rows."""
    store = open_store(folder)
    rows = 0
    for host in range(1, HOSTS + 1):
        stored = store.acked_seq(host, "s")
        assert stored >= acked.get(host, 0)
        assert stored - acked.get(host, 0) <= 3  # at most the call that was under way
        rows += stored
        start, end = START_MS + STEP_MS, START_MS + (stored + 1) * STEP_MS
        found = ask(store, start, end, STEP_MS, Aggregation.LAST, host=host)
        expected = [value_of(host, seq) for seq in range(1, stored + 1)]
        assert found[CPU.key] == expected
        assert found[DISK.key] == [-value for value in expected]
    # Equal timestamps would hide what is stored twice from a query; the sizes do not.
    assert store.stats().samples == rows * len(FIRST.series)
    assert store.check() == []
    store.close()
    return rows


def _prove(folder: Path, kills: int, seed: int) -> int:
    chance = random.Random(seed)
    rows = 0
    for _ in range(kills):
        rows = _check_ledger(folder, _run_and_kill(folder, chance))
    return rows


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """Six kills of a process that writes, seals, merges and empties its log, each on the file of the one before."""
    assert _prove(tmp_path, kills=6, seed=20261123) > 100


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(4))
def test_nothing_acknowledged_is_lost_in_a_hundred_kills(tmp_path: Path, seed: int) -> None:
    """Four files, 25 kills each."""
    assert _prove(tmp_path, kills=25, seed=seed) > 100
