"""A power cut (F9): only what was synced is on the disk, and what was acknowledged was synced."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.promises import Writer, check_promises
from tests.faults.shim import Shim, needs_shim

pytestmark = [needs_shim, pytest.mark.timeout(3600)]
WEAKER = (
    "import cybercorp.store.timeseries.storage.sqlite as s; "
    "s._WRITER_PRAGMAS = tuple(p.replace('synchronous = FULL', 'synchronous = NORMAL') for p in s._WRITER_PRAGMAS)"
)
# Everything that was written is long past, so that half hours, long chunks, minutes and hours are made at once.
LATER = """
from cybercorp.core.clock import SystemClock
class Later(SystemClock):
    def now_ms(self):
        return super().now_ms() + 400 * 86_400_000
sender.SystemClock = Later
"""


def cut(folder: Path, seed: int, *, before: str = "pass", longest_s: float = 0.8) -> list[str]:
    """Write on a machine, cut its power at a random moment; what is wrong with what is left, four times by chance."""
    chance = random.Random(seed)
    disk = folder / "disk"
    disk.mkdir(parents=True)
    shim = Shim(folder / "shim", disk)
    writer = Writer(disk, shim.environment, before=before)
    writer.run_for(chance.uniform(0.05, longest_s))
    assert writer.acked, "nothing was promised: nothing was proven"
    findings = []
    for again in range(4):
        target = folder / f"left-{again}"
        shim.cut_power(target, chance)
        findings += [f"seed {seed}, {again}: {one}" for one in check_promises(target, writer.acked)]
    return findings


@pytest.mark.slow
def test_a_power_cut_takes_nothing_acknowledged(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """At random moments of writing, sealing, merging and checkpoints."""
    for seed in range(times(4, 200)):
        assert cut(tmp_path / str(seed), seed) == []


@pytest.mark.slow
def test_a_power_cut_while_history_settles(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """While long chunks and rollups are made and joined: every row is there, and every minute says the same."""
    for seed in range(times(2, 60)):
        assert cut(tmp_path / str(seed), 1000 + seed, before=LATER, longest_s=2.5) == []


def test_the_checker_finds_the_loss_of_a_weaker_setting(tmp_path: Path) -> None:
    """With synchronous=NORMAL a commit is not synced: the same cuts take acknowledged rows, and it is noticed."""
    found: list[str] = []
    for seed in range(8):
        found += cut(tmp_path / str(seed), seed, before=WEAKER)
        if found:
            break
    assert any("rows were acknowledged" in one for one in found)
