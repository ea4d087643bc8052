"""No space left: nothing acknowledged is lost, reading goes on, and writing resumes when there is space again."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import StorageFullError
from cybercorp.protocol.metrics import Aggregation, Series, make_catalogue, parse_metric_selector
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow
from tests.unit.store.building import CPU, START_MS, ask, open_store
from tests.unit.store.timeseries.sender import STEP_MS, row_of, value_of

WIDE = make_catalogue(Series(name=f"m{i}") for i in range(1000))
ROOT = Path(__file__).parents[4]


@pytest.fixture(params=[8, 24])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB (the log fills it before a checkpoint) or 24 MiB (a checkpoint fills it)."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={request.param}m", "tmpfs", str(folder)], check=False)
    if made.returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _rows(seq: int) -> list[StoredRow]:
    """Rows that no compression makes much smaller."""
    time = START_MS + seq * 1000
    bodies = np.random.default_rng(seq).random((50, len(WIDE.series))).astype("<f8")
    return [StoredRow(1, "s", seq + i, time + i, time, 1, WIDE.id, bodies[i].tobytes()) for i in range(50)]


def _fill(store: TimeSeries, seq: int, calls: int) -> int:
    """Write until the disk is full; the last number that was acknowledged."""
    for _ in range(calls):
        store.write(_rows(seq + 1))
        seq += 50
    return seq


def test_a_full_disk_loses_nothing(small_disk: Path) -> None:
    """StorageFullError, as long as it lasts; queries answer; with more space all goes on, without a restart."""
    clock = ManualClock(START_MS)
    with contextlib.closing(open_store(small_disk, clock)) as store:
        store.register_catalogue(1, WIDE)
        with pytest.raises(StorageFullError, match="No space is left"):
            _fill(store, 0, calls=1000)
        acked = store.acked_seq(1, "s")
        assert acked > 0
        with pytest.raises(StorageFullError):
            store.write(_rows(acked + 1))
        assert _count(store) == acked
        subprocess.run(["mount", "-o", "remount,size=160m", str(small_disk)], check=True)
        acked = _fill(store, acked, 2)
        store.seal(everything=True)
    with contextlib.closing(open_store(small_disk, clock)) as store:
        assert store.acked_seq(1, "s") == acked
        assert _count(store) == acked
        assert store.check() == []


def _count(store: TimeSeries) -> float:
    selector = parse_metric_selector("m7")
    found = ask(store, START_MS, START_MS + 36_000_000, 36_000_000, Aggregation.COUNT, selector=selector)
    return found["m7"][0]


def test_a_limit_on_file_size_is_a_full_disk(tmp_path: Path) -> None:
    """RLIMIT_FSIZE in a child: it is told so, and everything it was promised is found afterwards."""
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tests.unit.store.building import open_store\n"
        "from tests.unit.store.timeseries.sender import send\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n"
        "send(open_store(Path(sys.argv[1])), hosts=2, rows=100, calls=1000)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    *told, last = ran.stdout.splitlines()
    assert last == "full"
    acked = {int(host): int(seq) for host, seq in map(str.split, told)}
    store = open_store(tmp_path)
    for host, seq in acked.items():
        assert store.acked_seq(host, "s") == seq
        found = ask(store, START_MS + STEP_MS, START_MS + (seq + 1) * STEP_MS, STEP_MS, Aggregation.LAST, host=host)
        assert found[CPU.key] == [value_of(host, one) for one in range(1, seq + 1)]
    store.write([row_of(1, acked[1] + 1)])
    store.close()
