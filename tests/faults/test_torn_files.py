"""Torn and rotten files (F10): it opens, what is whole is there, what is not is left out and told, nothing is wrong."""

import contextlib
import math
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cybercorp.core.errors import StorageError
from cybercorp.protocol.metrics import Aggregation
from tests.unit.store.building import CPU, DISK, START_MS, ask, fill, open_store

pytestmark = pytest.mark.timeout(3600)
TAIL_BYTES = 4096
NAMES = ("samples.db", "samples.db-wal")
Rows = Mapping[int, Mapping[str, float]]


def recorded(folder: Path) -> Rows:
    """Three minutes, two of them in chunks and one in the log; the files as a killed process leaves them, in `left`."""
    store = open_store(folder)
    rows = dict(fill(store, 120))
    store.seal(everything=True)
    for part in range(12):
        first = 120 + 5 * part
        rows |= dict(fill(store, 5, start_ms=START_MS + first * 1000, first_seq=first + 1))
    (folder / "left").mkdir()
    for name in NAMES:
        shutil.copy(folder / name, folder / "left" / name)
    store.close()
    return rows


def look(folder: Path, rows: Rows) -> int:
    """Open and read everything; every value must be right or unknown. Returns how many rows are known, −1: refused."""
    try:
        with contextlib.closing(open_store(folder)) as store:
            found = ask(store, START_MS, START_MS + 200_000, 1000, Aggregation.LAST)
            for key, values in found.items():
                assert key in (CPU.key, DISK.key)
                for second, value in enumerate(values):
                    assert math.isnan(value) or value == rows[START_MS + second * 1000][key]
            store.check()
            return sum(not math.isnan(value) for value in found.get(CPU.key, []))
    except StorageError:
        return -1


def laid(folder: Path, target: Path) -> Path:
    """A fresh copy of what was left."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder / "left", target)
    return target


def test_every_torn_tail_opens(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """The log cut at any byte: all commits before the cut are there, none after it."""
    rows = recorded(tmp_path)
    size = (tmp_path / "left" / NAMES[1]).stat().st_size
    cuts = range(TAIL_BYTES + 1) if times(0, 1) else sorted(random.Random(10).sample(range(TAIL_BYTES * 8), 60))
    known = []
    for cut in cuts:
        target = laid(tmp_path, tmp_path / "cut")
        with (target / NAMES[1]).open("rb+") as file:
            file.truncate(size - cut)
        known.append(look(target, rows))
        assert known[-1] >= 120
    assert known == sorted(known, reverse=True)
    assert known[0] - known[-1] >= 5


def test_every_flipped_bit_is_noticed(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """One bit anywhere in database or log: it opens or says why not, and no value is ever wrong."""
    rows = recorded(tmp_path)
    chance = random.Random(1000)
    refused = 0
    flips = times(60, 1000)
    for _ in range(flips):
        target = laid(tmp_path, tmp_path / "flipped")
        path = target / chance.choice(NAMES)
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        refused += look(target, rows) < 0
    assert refused < flips / 2
