"""After an input/output error: nothing is claimed that is not durable, and the store mends itself."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import StorageError
from cybercorp.protocol.metrics import Aggregation
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.storage.contract import CatalogueRow, LogEntry
from cybercorp.store.timeseries.storage.sqlite import SqliteStorage
from tests.unit.store.building import CPU, FIRST, SECOND, START_MS, ask, fill, sample


class _FailingStorage(SqliteStorage):
    """Fails when told to: before the commit, or after it (the answer is lost, the rows are not)."""

    before = after = broken = False

    def append(self, entry: LogEntry, catalogues: Sequence[CatalogueRow]) -> None:
        if self.before:
            raise StorageError("disk I/O error")
        super().append(entry, catalogues)
        if self.after:
            raise StorageError("disk I/O error")

    def reopen(self) -> None:
        if self.broken:
            raise StorageError("disk I/O error, still")
        super().reopen()


def _open(folder: Path) -> tuple[TimeSeries, _FailingStorage]:
    storage = _FailingStorage(folder / "samples.db")
    return TimeSeries(storage, folder / "samples.db", TimeSeriesSettings(), ManualClock(START_MS)), storage


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_failed_commit_is_neither_claimed_nor_doubled(tmp_path: Path, moment: str) -> None:
    """Whether the rows of the failed call survived or not, sending them again stores them once."""
    store, storage = _open(tmp_path)
    with contextlib.closing(store):
        fill(store, 5)
        store.register_catalogue(1, SECOND)
        setattr(storage, moment, True)
        rows = [sample(6, START_MS + 5000, 0.5, 1.0), sample(7, START_MS + 6000, 1.0, 2.0, 3.0, catalogue=SECOND)]
        with pytest.raises(StorageError):
            store.write(rows)
        assert store.acked_seq(1, "s") == 5
        assert store.stats().failed == "disk I/O error"
        assert ask(store, START_MS, START_MS + 10_000, 10_000, Aggregation.COUNT)[CPU.key] == [5.0]
        setattr(storage, moment, False)
        store.write(rows)
        assert store.stats().failed == ""
        assert store.acked_seq(1, "s") == 7
        assert ask(store, START_MS, START_MS + 10_000, 10_000, Aggregation.COUNT)[CPU.key] == [7.0]
        assert store.stats().samples == 6 * 2 + 3
        assert store.knows_catalogue(1, FIRST.id)


def test_it_keeps_trying(tmp_path: Path) -> None:
    """While the disk is broken every write fails and history can be read; then it goes on."""
    store, storage = _open(tmp_path)
    with contextlib.closing(store):
        fill(store, 5)
        storage.after = storage.broken = True
        for _ in range(3):
            with pytest.raises(StorageError):
                store.write([sample(6, START_MS + 5000, 0.5, 1.0)])
            with pytest.raises(StorageError):
                store.seal(everything=True)
        assert ask(store, START_MS, START_MS + 10_000, 10_000, Aggregation.COUNT)[CPU.key] == [5.0]
        storage.after = storage.broken = False
        store.write([sample(6, START_MS + 5000, 0.5, 1.0)])
        assert store.seal(everything=True).rows == 6
        assert store.acked_seq(1, "s") == 6
