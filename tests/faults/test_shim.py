"""The tools of the fault tests do what they say: a fault that does not happen proves nothing."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.shim import Shim, needs_shim

pytestmark = needs_shim


def run(shim: Shim, script: str) -> str:
    """What a Python process on this machine prints."""
    command = [sys.executable, "-c", f"import os, time\n{script}"]
    done = subprocess.run(command, env=shim.environment, cwd=shim.watched, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def shim(tmp_path: Path) -> Shim:
    (tmp_path / "disk").mkdir()
    return Shim(tmp_path / "shim", tmp_path / "disk")


def test_the_clock_is_wrong_and_the_monotonic_one_is_right(shim: Shim) -> None:
    """Two hours ahead, by every way to ask; durations stay what they are."""
    shim.shift_clock(7200)
    wall, nanoseconds, monotonic = map(float, run(shim, "print(time.time(), time.time_ns(), time.monotonic())").split())
    assert wall - time.time() == pytest.approx(7200, abs=10)
    assert nanoseconds / 1e9 - time.time() == pytest.approx(7200, abs=10)
    assert monotonic == pytest.approx(time.monotonic(), abs=10)


def test_only_what_was_synced_survives(shim: Shim) -> None:
    """A power cut leaves what fsync has promised; with luck more, never less."""
    run(
        shim,
        "f = open('a', 'wb', buffering=0); f.write(b'1' * 1024); os.fsync(f.fileno()); f.write(b'2' * 1024)\n"
        "g = open('b', 'wb', buffering=0); g.write(b'never synced')",
    )
    seen = set()
    for seed in range(40):
        target = shim.durable.parent / f"cut-{seed}"
        shim.cut_power(target, random.Random(seed))
        data = (target / "a").read_bytes()
        assert data[:1024] == b"1" * 1024
        seen.add(data[1024:])
    assert b"" in seen
    assert b"2" * 1024 in seen
    assert len(seen) > 3


def test_a_failed_sync_loses_what_was_dirty_although_the_next_succeeds(shim: Shim) -> None:
    """As Linux does it: the error is told once, and the pages are clean afterwards."""
    shim.fail_syncs(after=1)
    told = run(
        shim,
        "f = open('a', 'wb', buffering=0); f.write(b'1' * 512); os.fsync(f.fileno()); f.write(b'2' * 512)\n"
        "try: os.fdatasync(f.fileno())\n"
        "except OSError as error: print(error.errno)\n"
        "f.write(b'3' * 512); os.fdatasync(f.fileno())",
    )
    assert told == "5"
    assert (shim.get("syncs"), shim.get("failed")) == (3, 1)
    assert (shim.durable / "a").read_bytes() == b"1" * 512 + bytes(512) + b"3" * 512


def test_what_is_written_again_after_a_failed_sync_can_become_durable(shim: Shim) -> None:
    """The same bytes, written once more, are dirty once more."""
    shim.fail_syncs()
    run(
        shim,
        "f = open('a', 'wb', buffering=0); f.write(b'1' * 1024)\n"
        "try: os.fsync(f.fileno())\n"
        "except OSError: pass\n"
        "os.pwrite(f.fileno(), b'1' * 512, 512); os.fsync(f.fileno())",
    )
    assert (shim.durable / "a").read_bytes() == bytes(512) + b"1" * 512


@pytest.mark.parametrize("synced", [False, True])
def test_a_new_name_is_durable_once_its_folder_is_synced(shim: Shim, synced: bool) -> None:
    """Until then a power cut leaves the old file or the new one, as a whole; a first file or none."""
    write = "f = open('{0}', 'wb'); f.write(b'{1}' * 1024); f.flush(); os.fsync(f.fileno()); f.close()\n"
    sync = "d = os.open('.', os.O_RDONLY); os.fsync(d)\n" if synced else ""
    run(
        shim,
        write.format("a", 1)
        + write.format("a.new", 2)
        + write.format("b.new", 3)
        + f"os.replace('a.new', 'a'); os.rename('b.new', 'b')\n{sync}",
    )
    seen = set()
    for seed in range(40):
        target = shim.durable.parent / f"cut-{seed}"
        shim.cut_power(target, random.Random(seed))
        first = target / "b"
        seen.add(((target / "a").read_bytes(), first.read_bytes() if first.exists() else b""))
    old, new, third = b"1" * 1024, b"2" * 1024, b"3" * 1024
    assert seen == ({(new, third)} if synced else {(old, b""), (old, third), (new, b""), (new, third)})
