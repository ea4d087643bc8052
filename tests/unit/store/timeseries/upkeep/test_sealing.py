"""The sealer beside writer and readers: when it acts, what it leaves, and that nobody sees it work."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import msgspec
import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.metrics import Aggregation
from cybercorp.protocol.processes import ProcessTable
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.index import BUCKET_MS, phase_of
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.upkeep.sealing import MAX_BLOCK_ROWS
from tests.unit.store.building import CPU, START_MS, ask, fill, open_store
from tests.unit.store.timeseries.sender import STEP_MS, row_of, value_of


def test_rows_wait_for_their_block(tmp_path: Path) -> None:
    """The first block of a host is a part of a minute, the next ones are a minute."""
    clock = ManualClock(START_MS)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        fill(store, 5)
        clock.advance(60 * phase_of(1) - 1)
        assert store.seal().rows == 0
        clock.advance(1.5)
        assert store.seal().rows == 5
        fill(store, 5, start_ms=START_MS + 5000, first_seq=6)
        clock.advance(59)
        assert store.seal().rows == 0
        clock.advance(1.5)
        report = store.seal()
        assert (report.hosts, report.rows, report.chunks, report.trimmed) == (1, 5, 1, 1)


def test_a_drained_spool_does_not_wait(tmp_path: Path) -> None:
    """Many rows of one host are sealed at once, so that they do not fill the memory."""
    with contextlib.closing(open_store(tmp_path)) as store:
        fill(store, MAX_BLOCK_ROWS)
        assert store.seal().rows == MAX_BLOCK_ROWS


def test_an_hour_becomes_few_chunks_and_an_empty_log(tmp_path: Path) -> None:
    """Minute by minute sealed, merged by the half hour; process tables too; nothing is left in the log."""
    clock = ManualClock(START_MS)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        for minute in range(90):
            at = START_MS + minute * 60_000
            fill(store, 60, start_ms=at, first_seq=1 + minute * 61)
            body = msgspec.msgpack.encode(ProcessTable(timestamp_ms=at, total=minute))
            store.write([StoredRow(1, "s", 61 + minute * 61, at, at, RecordType.PROCESSES, "", body)])
            clock.advance(60)
            store.seal(everything=True)
        stats = store.stats()
        assert stats.head_rows == 0
        assert stats.chunks <= 2 * (3 + 30)
        clock.advance(BUCKET_MS / 1000 + 1)
        store.seal()
        assert store.stats().chunks <= 8
        assert ask(store, START_MS, clock.now_ms(), clock.now_ms() - START_MS, Aggregation.COUNT)[CPU.key] == [5400.0]
        for minute in (0, 29, 45, 89):
            table = store.processes_at(1, START_MS + minute * 60_000 + 500, 1000)
            assert table is not None
            assert table.total == minute
        assert store.check() == []


def test_a_host_dropped_while_it_is_sealed_stays_dropped(tmp_path: Path) -> None:
    """Dropping in one thread, sealing in another, for as many hosts as it takes."""
    with contextlib.closing(open_store(tmp_path)) as store:
        for host in range(1, 101):
            fill(store, 20, host=host)
        thread = threading.Thread(target=store.seal, kwargs={"everything": True})
        thread.start()
        for host in range(1, 101, 2):
            store.drop_host(host)
        thread.join(30)
        for host in range(1, 101):
            assert (store.bounds(host) is None) is (host % 2 == 1)
        store.retain()
        assert store.stats().hosts == 50
    with contextlib.closing(open_store(tmp_path)) as store:
        assert store.stats().hosts == 50
        assert store.check() == []


class _Reader(threading.Thread):
    """Asks for everything again and again; every answer must be what was stored at that time."""

    def __init__(self, store: TimeSeries, done: threading.Event) -> None:
        super().__init__()
        self._store, self._done = store, done
        self.answers = 0
        self.problems: list[str] = []

    def run(self) -> None:
        while not self._done.is_set() or not self.answers:
            before = self._store.acked_seq(1, "s")
            if not before:
                continue
            found = ask(self._store, START_MS, START_MS + 1_000 * STEP_MS, 1_000 * STEP_MS, Aggregation.COUNT)
            after = self._store.acked_seq(1, "s")
            if not before <= found[CPU.key][0] <= after:
                self.problems.append(f"{found[CPU.key]} rows instead of {before} to {after}")
            row = self._store.row_at(1, START_MS + before * STEP_MS, 0)
            if row is None or msgspec.json.encode(value_of(1, before)) != msgspec.json.encode(_first(row.body)):
                self.problems.append(f"row {before} is {row}")
            self.answers += 1


def _first(body: bytes) -> float:
    return float(memoryview(body).cast("d")[0])


@pytest.mark.slow
def test_readers_never_see_the_sealer_at_work(tmp_path: Path) -> None:
    """While rows are written, sealed, merged and the log is emptied, every query finds each row exactly once."""
    done = threading.Event()
    with contextlib.closing(open_store(tmp_path)) as store:

        def seal() -> None:
            while not done.is_set():
                store.seal(everything=True)

        fill(store, 0)
        readers = [_Reader(store, done) for _ in range(2)]
        sealer = threading.Thread(target=seal)
        for thread in (sealer, *readers):
            thread.start()
        try:
            for seq in range(1, 400):
                store.write([row_of(1, seq)])
        finally:
            done.set()
            for thread in (sealer, *readers):
                thread.join(30)
        assert [problem for reader in readers for problem in reader.problems] == []
        assert all(reader.answers for reader in readers)
        assert store.check() == []
