"""The store's face: writing, acknowledging, reading back, restarting, dropping."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.metrics import Aggregation, Series, make_catalogue, parse_metric_selector
from cybercorp.protocol.processes import ProcessTable
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import LatestRow, Selection, StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from tests.unit.store.building import (
    CPU,
    DISK,
    FIRST,
    LOAD,
    SECOND,
    START_MS,
    ask,
    body_of,
    fill,
    open_store,
    sample,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TimeSeries]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def _processes(seq: int, timestamp_ms: int, name: str) -> StoredRow:
    body = msgspec.msgpack.encode(ProcessTable(timestamp_ms=timestamp_ms, total=1, pid=[7], name=[name]))
    return StoredRow(1, "s", seq, timestamp_ms, timestamp_ms, RecordType.PROCESSES, "", body)


class TestWriting:
    def test_a_row_is_there_when_write_returns(self, store: TimeSeries) -> None:
        """It is acknowledged, it is the latest, and a query finds it."""
        store.register_catalogue(1, FIRST)
        report = store.write([sample(1, START_MS, 0.5, 100.0)])
        assert (report.stored, report.duplicates, report.refused) == (1, 0, [])
        assert store.acked_seq(1, "s") == 1
        assert store.latest(1) == LatestRow(START_MS, FIRST.id, body_of(0.5, 100.0))
        assert ask(store, START_MS, START_MS + 1000, 1000, Aggregation.LAST)[CPU.key] == [0.5]

    def test_a_row_that_comes_twice_is_stored_once(self, store: TimeSeries) -> None:
        """Recognised by host, stream and number; in one call, in two, and after a restart of the agent's connection."""
        store.register_catalogue(1, FIRST)
        first, second = sample(1, START_MS, 0.1, 1.0), sample(2, START_MS + 1, 0.2, 2.0)
        store.write([first, first, second])
        assert store.write([first, second]).duplicates == 2
        assert ask(store, START_MS, START_MS + 1000, 1000, Aggregation.COUNT)[CPU.key] == [2.0]

    def test_streams_count_for_themselves(self, store: TimeSeries) -> None:
        """A host that was installed anew begins at 1 in a stream of another name."""
        store.register_catalogue(1, FIRST)
        store.write([sample(9, START_MS, 0.1, 1.0)])
        store.write([sample(1, START_MS + 1000, 0.2, 2.0, stream="t")])
        assert (store.acked_seq(1, "s"), store.acked_seq(1, "t"), store.acked_seq(2, "s")) == (9, 1, 0)

    def test_numbers_may_have_holes(self, store: TimeSeries) -> None:
        """An agent whose spool overflowed goes on where it can."""
        store.register_catalogue(1, FIRST)
        store.write([sample(1, START_MS, 0.1, 1.0), sample(500, START_MS + 1000, 0.2, 2.0)])
        assert store.acked_seq(1, "s") == 500

    def test_an_event_is_only_counted(self, store: TimeSeries) -> None:
        """Events live among the records; here their number is acknowledged durably."""
        store.write([StoredRow(1, "s", 4, START_MS, START_MS, RecordType.EVENT, "", b"anything")])
        assert store.acked_seq(1, "s") == 4
        assert store.bounds() is None

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (sample(1, START_MS, 0.1, catalogue=FIRST), "its body has 8 bytes instead of 16"),
            (sample(1, START_MS, catalogue=FIRST), "its body has 0 bytes instead of 16"),
            (sample(1, START_MS, 0.1, 1.0, 2.0, catalogue=SECOND), "its catalogue was never announced"),
            (sample(1, -1, 0.1, 1.0), "its time is out of range"),
            (sample(1, 2**60, 0.1, 1.0), "its time is out of range"),
            (sample(2**63, START_MS, 0.1, 1.0), "its sequence number is out of range"),
            (sample(1, START_MS, 0.1, 1.0)._replace(type=9), "its type 9 is unknown"),
        ],
    )
    def test_one_bad_row_does_not_stop_the_others(self, store: TimeSeries, row: StoredRow, reason: str) -> None:
        """What can never be stored is reported and counted; the rest of the call is stored."""
        store.register_catalogue(1, FIRST)
        store.register_catalogue(2, FIRST)
        report = store.write([row, sample(1, START_MS, 0.5, 1.0, host=2)])
        assert report.stored == 1
        assert [one.reason for one in report.refused] == [reason]
        assert store.stats().refused == 1
        assert store.latest(2) is not None

    def test_large_calls_are_cut_into_batches(self, store: TimeSeries) -> None:
        """50 rows of 20,000 series (8 MB) and more in one call are stored."""
        wide = make_catalogue(Series(name=f"m{i}") for i in range(20_000))
        store.register_catalogue(1, wide)
        body = bytes(160_000)
        store.write(
            [
                StoredRow(1, "s", seq, START_MS + seq, START_MS, RecordType.SAMPLES, wide.id, body)
                for seq in range(1, 151)
            ]
        )
        assert store.stats().commits == 2
        selector = parse_metric_selector("m19999")
        assert ask(store, START_MS, START_MS + 200, 200, Aggregation.COUNT, selector=selector) == {"m19999": [150.0]}

    def test_too_much_in_memory_is_sealed_by_the_writer(self, tmp_path: Path) -> None:
        """Senders are slowed down before memory runs out."""
        store = open_store(tmp_path, settings=TimeSeriesSettings(head_max_bytes=10_000))
        for part in range(10):
            fill(store, 100, start_ms=START_MS + part * 100_000, first_seq=1 + part * 100)
        assert store.stats().head_rows <= 200
        assert ask(store, START_MS, START_MS + 1_000_000, 1_000_000, Aggregation.COUNT)[CPU.key] == [1000.0]
        store.close()


class TestRestart:
    @pytest.mark.parametrize("sealed", [False, True])
    def test_everything_is_there_again(self, tmp_path: Path, sealed: bool) -> None:
        """Acknowledgements, latest row, catalogue, history and process tables, from the log and from chunks."""
        store = open_store(tmp_path)
        fill(store, 120)
        store.write([_processes(121, START_MS + 5000, "init")])
        before = ask(store, START_MS, START_MS + 120_000, 10_000, Aggregation.RATE)
        latest = store.latest(1)
        if sealed:
            store.seal(everything=True)
            assert store.stats().head_rows == 0
        store.close()
        store = open_store(tmp_path)
        assert store.acked_seq(1, "s") == 121
        assert store.latest(1) == latest
        assert store.knows_catalogue(1, FIRST.id)
        assert store.catalogue_at(1) == FIRST
        assert ask(store, START_MS, START_MS + 120_000, 10_000, Aggregation.RATE) == before
        table = store.processes_at(1, START_MS + 9000, 10_000)
        assert table is not None
        assert table.name == ["init"]
        assert store.check() == []
        store.close()

    def test_numbers_of_log_entries_are_never_used_again(self, tmp_path: Path) -> None:
        """After the log was emptied and the store restarted, new rows are not taken for sealed ones."""
        store = open_store(tmp_path)
        fill(store, 10)
        store.seal(everything=True)
        store.close()
        store = open_store(tmp_path)
        fill(store, 10, start_ms=START_MS + 10_000, first_seq=11)
        store.close()
        store = open_store(tmp_path)
        assert ask(store, START_MS, START_MS + 20_000, 20_000, Aggregation.COUNT)[CPU.key] == [20.0]
        assert store.acked_seq(1, "s") == 20
        store.close()


class TestCatalogues:
    def test_a_catalogue_that_is_not_used_is_not_stored(self, tmp_path: Path) -> None:
        """Announcing costs no disk; the first row makes it durable."""
        store = open_store(tmp_path)
        store.register_catalogue(1, FIRST)
        store.register_catalogue(1, FIRST)
        assert store.knows_catalogue(1, FIRST.id)
        store.close()
        store = open_store(tmp_path)
        assert not store.knows_catalogue(1, FIRST.id)
        store.close()

    def test_a_flood_of_catalogues_is_bounded(self, store: TimeSeries) -> None:
        """Of those that a host announces and never uses only the newest are kept."""
        made = [make_catalogue([Series(name=f"m{i}")]) for i in range(50)]
        for one in made:
            store.register_catalogue(1, one)
        known = [store.knows_catalogue(1, one.id) for one in made]
        assert sum(known) == 8
        assert known[-1]

    def test_the_catalogue_of_an_instant(self, store: TimeSeries) -> None:
        """That of the newest row at or before it; none before the first row."""
        fill(store, 10)
        store.seal(everything=True)
        store.register_catalogue(1, SECOND)
        store.write([sample(11, START_MS + 60_000, 5.0, 1.0, 0.5, catalogue=SECOND)])
        assert store.catalogue_at(1, START_MS + 30_000) == FIRST
        assert store.catalogue_at(1, START_MS + 60_000) == SECOND
        assert store.catalogue_at(1) == SECOND
        assert store.catalogue_at(1, START_MS - 1) is None
        assert store.catalogue_at(7) is None

    @pytest.mark.parametrize("sealed", [False, True])
    def test_a_series_is_joined_across_catalogues(self, store: TimeSeries, sealed: bool) -> None:
        """Devices that come and go move columns; each series keeps its own values, and new ones begin."""
        fill(store, 10)
        store.register_catalogue(1, SECOND)
        store.write(
            [sample(11 + i, START_MS + 10_000 + i * 1000, 9000.0, 3.0, 0.75, catalogue=SECOND) for i in range(10)]
        )
        if sealed:
            store.seal(everything=True)
        found = ask(store, START_MS, START_MS + 20_000, 10_000, Aggregation.MAX)
        assert found[CPU.key] == [10 / 16, 0.75]
        assert found[DISK.key] == [10_000.0, 9000.0]
        assert math.isnan(found[LOAD.key][0])
        assert found[LOAD.key][1] == 3.0
        only_old = ask(store, START_MS, START_MS + 10_000, 10_000, Aggregation.MAX)
        assert set(only_old) == {CPU.key, DISK.key}


class TestTime:
    def test_late_rows_find_their_place(self, store: TimeSeries) -> None:
        """A spool that is drained hours later fills the hole."""
        fill(store, 60, start_ms=START_MS + 7_200_000)
        store.seal(everything=True)
        store.register_catalogue(1, FIRST)
        late = [sample(61 + i, START_MS + i * 1000, 0.25, float(i)) for i in range(60)]
        store.write(late)
        assert ask(store, START_MS, START_MS + 60_000, 60_000, Aggregation.AVG)[CPU.key] == [0.25]
        store.seal(everything=True)
        assert ask(store, START_MS, START_MS + 60_000, 60_000, Aggregation.AVG)[CPU.key] == [0.25]
        assert store.bounds(1) == (START_MS, START_MS + 7_259_000)

    def test_the_last_row_is_the_one_that_arrived_last(self, store: TimeSeries) -> None:
        """A clock that was set back does not freeze the live view, also after a restart from chunks."""
        fill(store, 5)
        store.write([sample(6, START_MS - 7_200_000, 0.9, 1.0)])
        latest = store.latest(1)
        assert latest is not None
        assert latest.timestamp_ms == START_MS - 7_200_000
        store.seal(everything=True)
        assert store.latest(1) == latest

    def test_a_row_at_an_instant(self, store: TimeSeries) -> None:
        """The newest at or before, not older than asked; whole, bit by bit; from the log and from a chunk."""
        fill(store, 100)
        for _ in range(2):
            found = store.row_at(1, START_MS + 50_500, 5000)
            assert found == LatestRow(START_MS + 50_000, FIRST.id, body_of(51 % 17 / 16, 51_000.0))
            assert store.row_at(1, START_MS + 110_000, 5000) is None
            assert store.row_at(1, START_MS - 1, 5000) is None
            assert store.row_at(9, START_MS, 5000) is None
            store.seal(everything=True)

    def test_process_tables_at_an_instant(self, store: TimeSeries) -> None:
        """The newest recorded one at or before; a body that is none is no answer."""
        store.write([_processes(1, START_MS, "a"), _processes(2, START_MS + 10_000, "b")])
        store.write([_processes(3, START_MS + 20_000, "c")._replace(body=b"\xc1")])
        for _ in range(2):
            found = store.processes_at(1, START_MS + 19_999, 15_000)
            assert found is not None
            assert (found.name, found.timestamp_ms) == (["b"], START_MS + 10_000)
            assert store.processes_at(1, START_MS + 20_000, 15_000) is None
            assert store.processes_at(1, START_MS - 1, 15_000) is None
            store.seal(everything=True)

    def test_the_nearest_recorded_tables(self, tmp_path: Path) -> None:
        """Before, at, between and after tables, unsealed and sealed; a host without any has none."""
        store = open_store(tmp_path)
        store.write([_processes(1, START_MS, "a"), _processes(2, START_MS + 10_000, "b")])
        last = START_MS + 10_000
        for _ in range(2):
            assert store.nearest_processes(1, START_MS - 1) == (None, START_MS)
            assert store.nearest_processes(1, START_MS) == (START_MS, last)
            assert store.nearest_processes(1, last - 1) == (START_MS, last)
            assert store.nearest_processes(1, last) == (last, None)
            assert store.nearest_processes(1, last + 86_400_000) == (last, None)
            assert store.nearest_processes(2, last) == (None, None)
            store.seal(everything=True)


class TestDroppingAHost:
    def test_nothing_of_it_is_left(self, tmp_path: Path) -> None:
        """History, unsealed rows and acknowledgements are gone at once, and stay gone after a restart."""
        store = open_store(tmp_path)
        fill(store, 60)
        fill(store, 60, host=2)
        store.seal(everything=True)
        fill(store, 60, start_ms=START_MS + 60_000, first_seq=61)
        store.drop_host(1)
        store.drop_host(77)
        for _ in range(2):
            assert ask(store, START_MS, START_MS + 200_000, 1000, Aggregation.AVG) == {}
            assert (store.latest(1), store.bounds(1), store.acked_seq(1, "s")) == (None, None, 0)
            assert store.bounds(2) == (START_MS, START_MS + 59_000)
            store.close()
            store = open_store(tmp_path)
        store.retain()
        assert store.stats().chunks == 1
        store.close()

    def test_a_query_over_many_hosts_keeps_their_order(self, store: TimeSeries) -> None:
        """Results come in the order of the selections, each series of a host once."""
        for host in (3, 1, 2):
            fill(store, 5, host=host)
        selector = parse_metric_selector("cpu*")
        found = store.query(
            [Selection(host, one) for host in (2, 3, 9, 1) for one in (selector, selector)],
            START_MS,
            START_MS + 5000,
            5000,
            Aggregation.COUNT,
        )
        assert [(one.host, one.series.key) for one in found] == [(2, "cpu"), (3, "cpu"), (1, "cpu")]


def test_sizes_are_reported(tmp_path: Path) -> None:
    """What an operator asks: how large, how much, how far back."""
    clock = ManualClock(START_MS)
    store = open_store(tmp_path, clock)
    fill(store, 100)
    store.seal(everything=True)
    fill(store, 10, start_ms=START_MS + 100_000, first_seq=101)
    stats = store.stats()
    assert (stats.hosts, stats.chunks, stats.samples, stats.head_rows) == (1, 1, 220, 10)
    assert (stats.oldest_ms, stats.newest_ms) == (START_MS, START_MS + 109_000)
    assert stats.file_bytes > 0
    assert stats.disk_free_bytes > 0
    assert stats.commit_p99_ms is not None
    assert stats.failed == ""
    store.close()
