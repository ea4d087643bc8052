"""A secret that was written is there after a power cut: of a key that is lost, all it sealed is lost with it."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.shim import Shim, needs_shim

pytestmark = needs_shim

WRITE = "import sys; from pathlib import Path; from cybercorp.core import paths\n"
FORGET = "paths.sync_dir = lambda path: None\n"
CUTS = 20


def left_of(folder: Path, before: str) -> set[str]:
    """What power cuts right after the second write leave of the file; "" where they leave none."""
    disk = folder / "disk"
    disk.mkdir()
    shim = Shim(folder / "shim", disk)
    script = f"{WRITE}{before}for text in ('old', 'new'): paths.write_private_file(Path(sys.argv[1]), text)"
    subprocess.run([sys.executable, "-c", script, str(disk / "key")], env=shim.environment, check=True)
    left = set()
    for seed in range(CUTS):
        target = folder / f"left-{seed}"
        shim.cut_power(target, random.Random(seed))
        kept = target / "key"
        left.add(kept.read_text() if kept.exists() else "")
    return left


@pytest.mark.parametrize(("before", "expected"), [("", {"new"}), (FORGET, {"", "new"})], ids=["as it is", "planted"])
def test_a_private_file_survives_a_power_cut(tmp_path: Path, before: str, expected: set[str]) -> None:
    """Its content and its name are both synced; where the folder is not, the cut takes it and we notice."""
    assert left_of(tmp_path, before) == expected
