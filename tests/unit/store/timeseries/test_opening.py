"""A store that opens with rows in the log only: all is there, right, and in order, wherever the rows are by then."""

from __future__ import annotations

import contextlib
import math
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.metrics import Aggregation, Catalogue
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.log.backlog import thaw
from cybercorp.store.timeseries.rows import LatestRow, StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.storage.sqlite_schema import UPGRADES
from tests.unit.store.building import CPU, FIRST, SECOND, START_MS, Row, ask, assert_same, body_of, open_store, sample
from tests.unit.store.building import reference as expected
from tests.unit.store.timeseries.log.test_batches import whole_of_rows

HOSTS = 3
SPAN_MS = 60_000
Truth = dict[int, list[tuple[int, float]]]  # of each host: times and values
PACKING = TimeSeriesSettings(head_raw_bytes=0)  # compress whenever a few rows have come


class _Store(RuleBasedStateMachine):
    """Rows of several hosts, late, twice and with one timestamp; sealed, packed, killed and opened at any moment.

    What the store tells must equal a plain list of what was acknowledged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="cybercorp-opening-"))
        self.rows: dict[int, list[Row]] = {host: [] for host in range(1, HOSTS + 1)}
        self.latest: dict[int, LatestRow] = {}
        self.seq = dict.fromkeys(self.rows, 0)

    @initialize(packing=st.booleans())
    def begin(self, packing: bool) -> None:
        self.settings = PACKING if packing else TimeSeriesSettings()
        self.open()

    def open(self) -> None:
        self.store = open_store(self.folder, ManualClock(START_MS), self.settings)
        for host in self.rows:
            self.store.register_catalogue(host, FIRST)
            self.store.register_catalogue(host, SECOND)

    @rule(
        drawn=st.lists(
            st.tuples(st.integers(1, HOSTS), st.integers(0, 40), st.floats(-1e9, 1e9), st.booleans()),
            min_size=1,
            max_size=60,
        ),
        again=st.booleans(),
    )
    def write(self, drawn: list[tuple[int, int, float, bool]], again: bool) -> None:
        """Whatever order the times have; the second time everything is known already."""
        rows = []
        for host, offset, value, second in drawn:
            self.seq[host] += 1
            time = START_MS + offset * 1000
            values = (value, value + 1, value + 2) if second else (value, value + 1)
            rows.append(sample(self.seq[host], time, *values, catalogue=SECOND if second else FIRST, host=host))
            self.keep(rows[-1], SECOND if second else FIRST, values)
        assert self.store.write(rows).stored == len(rows)
        if again:
            assert self.store.write(rows).duplicates == len(rows)

    def keep(self, row: StoredRow, catalogue: Catalogue, values: tuple[float, ...]) -> None:
        keys = [series.key for series in catalogue.series]
        self.rows[row.host].append((row.timestamp_ms, dict(zip(keys, values, strict=True))))
        self.latest[row.host] = LatestRow(row.timestamp_ms, catalogue.id, row.body)

    @rule(everything=st.booleans())
    def seal(self, everything: bool) -> None:
        self.store.seal(everything=everything)

    @rule(rows=st.integers(1, 20))
    def thaw(self, rows: int) -> None:
        """A small step of what the background does before it seals."""
        session = self.store._session
        thaw(session, session.state, raw_bytes=2000, host_rows=rows)

    @rule()
    def kill(self) -> None:
        """What is on disk at this moment is opened instead; the old process never closes it."""
        copy = Path(tempfile.mkdtemp(prefix="cybercorp-opening-"))
        for name in ("samples.db", "samples.db-wal"):
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, copy / name)
        self.store.close()
        shutil.rmtree(self.folder)
        self.folder = copy
        self.open()

    @rule(host=st.integers(1, HOSTS))
    def drop(self, host: int) -> None:
        """A host that was removed begins anew, with the same numbers."""
        self.store.drop_host(host)
        self.rows[host], self.seq[host] = [], 0
        self.latest.pop(host, None)

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def tells_what_was_acknowledged(self) -> None:
        for host, rows in self.rows.items():
            assert self.store.acked_seq(host, "s") == self.seq[host]
            assert self.store.latest(host) == self.latest.get(host)
            catalogue = self.store.catalogue_at(host)
            assert (catalogue.id if catalogue else None) == (self.latest[host].catalogue if rows else None)
            for how in (Aggregation.COUNT, Aggregation.LAST):
                found = ask(self.store, START_MS, START_MS + SPAN_MS, 10_000, how, host=host)
                assert set(found) == {key for _, values in rows for key in values}
                for key, values in found.items():
                    assert_same(values, expected(rows, key, START_MS, START_MS + SPAN_MS, 10_000, how, None))
        assert self.store.damage() == []

    def teardown(self) -> None:
        if hasattr(self, "store"):
            assert self.store.check() == []
            self.store.close()
        shutil.rmtree(self.folder)


_Store.TestCase.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
TestAnyOrderOfThings = _Store.TestCase


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Path, Truth]:
    """A folder whose store has 40 commits of 25 hosts in its log."""
    truth: Truth = {host: [] for host in range(1, 26)}
    with contextlib.closing(open_store(tmp_path)) as store:
        for host in truth:
            store.register_catalogue(host, FIRST)
        for second in range(40):
            rows = [
                sample(second + 1, START_MS + second * 1000, host * 100.0 + second, 1.0, host=host) for host in truth
            ]
            store.write(rows)
            for row in rows:
                truth[row.host].append((row.timestamp_ms, row.host * 100.0 + second))
    return tmp_path, truth


def _rows(store: TimeSeries, host: int) -> list[tuple[int, float]]:
    found = ask(store, START_MS, START_MS + SPAN_MS, 1000, Aggregation.LAST, host=host).get(CPU.key, [])
    return [(START_MS + second * 1000, value) for second, value in enumerate(found) if not math.isnan(value)]


class TestDamage:
    def _damage(self, folder: Path, table_change: str) -> None:
        with contextlib.closing(sqlite3.connect(folder / "samples.db", isolation_level=None)) as database:
            database.execute(table_change)

    def test_a_damaged_head_loses_that_commit_only(self, filled: tuple[Path, Truth]) -> None:
        """It is told at the start; every other row is right, and the acknowledgements stay."""
        folder, truth = filled
        self._damage(
            folder, "UPDATE log SET head = CAST(substr(head, 1, length(head) - 1) || x'00' AS BLOB) WHERE number = 7"
        )
        with contextlib.closing(open_store(folder)) as store:
            (said,) = store.damage()
            assert said.startswith(f"Log entry 7, received at {START_MS + 6000} ms, is damaged")
            assert store.acked_seq(3, "s") == 40
            for host, rows in truth.items():
                assert _rows(store, host) == rows[:6] + rows[7:]

    @pytest.mark.parametrize("first", ["query", "seal", "check"])
    def test_a_damaged_body_is_told_with_its_range(self, filled: tuple[Path, Truth], first: str) -> None:
        """By whoever reads it first: which hosts, from when to when; skipped, never wrong; told once."""
        folder, truth = filled
        self._damage(
            folder, "UPDATE log SET body = CAST(substr(body, 1, length(body) - 1) || x'00' AS BLOB) WHERE number = 7"
        )
        with contextlib.closing(open_store(folder)) as store:
            assert store.damage() == []
            if first == "seal":
                store.seal(everything=True)
                assert store.stats().head_rows == 0
            if first == "check":
                assert len(store.check()) == 1
            for host, rows in truth.items():
                assert _rows(store, host) == rows[:6] + rows[7:]
            (said,) = store.damage()
            assert said.startswith("Log entry 7 is damaged (frame 0")
            assert "25 rows of hosts 1, 2, 3, 4, 5 and 20 more" in said
            assert f"from {START_MS + 6000} to {START_MS + 6000} ms are lost" in said

    @pytest.mark.parametrize("change", ["head = 'text'", "head = 5", "body = 5", "body = 'text'", "received_ms = 'x'"])
    def test_a_value_of_another_type(self, filled: tuple[Path, Truth], change: str) -> None:
        """A flipped bit can make a number of a blob: as lost as any other damage, and no more than that."""
        folder, truth = filled
        self._damage(folder, f"UPDATE log SET {change} WHERE number = 7")
        with contextlib.closing(open_store(folder)) as store:
            for host, rows in truth.items():
                assert _rows(store, host) == (rows if "received" in change else rows[:6] + rows[7:])
            store.seal(everything=True)
            assert _rows(store, 3) == (truth[3] if "received" in change else truth[3][:6] + truth[3][7:])
            assert len(store.damage()) == (0 if "received" in change else 1)

    def test_all_hosts_may_be_removed_before_their_rows_are_sealed(self, filled: tuple[Path, Truth]) -> None:
        """Nothing is left to do then, and the log is emptied."""
        folder, truth = filled
        with contextlib.closing(open_store(folder)) as store:
            for host in truth:
                store.drop_host(host)
            assert not store.seal(everything=True).pending
            assert store.stats().head_rows == 0
            assert store.bounds() is None
            store.seal(everything=True)
        with contextlib.closing(sqlite3.connect(folder / "samples.db")) as database:
            assert database.execute("SELECT count(*) FROM log").fetchone() == (0,)

    def test_the_newest_row_may_be_damaged(self, filled: tuple[Path, Truth]) -> None:
        """The one before it is shown instead."""
        folder, _ = filled
        self._damage(folder, "UPDATE log SET body = x'00' WHERE number = 40")
        with contextlib.closing(open_store(folder)) as store:
            assert store.latest(3) == LatestRow(START_MS + 38_000, FIRST.id, body_of(338.0, 1.0))

    def test_entries_that_are_gone(self, filled: tuple[Path, Truth]) -> None:
        """A log that lacks entries in the middle gives what is there."""
        folder, truth = filled
        self._damage(folder, "DELETE FROM log WHERE number BETWEEN 5 AND 9")
        with contextlib.closing(open_store(folder)) as store:
            store.seal(everything=True)
            for host, rows in truth.items():
                assert _rows(store, host) == rows[:4] + rows[9:]


def test_a_database_of_the_first_schema(tmp_path: Path) -> None:
    """Its log is read as it is, beside new entries, and sealed; nothing of it is lost."""
    old = [sample(seq, START_MS + seq * 1000, float(seq), 1.0, host=host) for seq in range(1, 11) for host in (1, 2)]
    with contextlib.closing(open_store(tmp_path)) as store:
        for host in (1, 2):
            store.register_catalogue(host, FIRST)
        store.write([row for row in old if row.seq == 1])
    with contextlib.closing(sqlite3.connect(tmp_path / "samples.db", isolation_level=None)) as database:
        database.execute("DROP TABLE log")
        statements = [one for one in UPGRADES[0].split(";") if "CREATE TABLE log" in one]
        database.execute(statements[0])
        database.execute("UPDATE meta SET value = '1' WHERE key = 'schema'")
        for number in range(1, 6):
            body = whole_of_rows(number, old[(number - 1) * 4 : number * 4])
            database.execute("INSERT INTO log VALUES (?, ?, ?, ?)", (number, START_MS, len(body), body))
    for sealed in (False, True):
        with contextlib.closing(open_store(tmp_path)) as store:
            if not sealed:
                store.write([sample(11, START_MS + 11_000, 11.0, 1.0, host=1)])
            for host, last in ((1, 11), (2, 10)):
                assert store.acked_seq(host, "s") == last
                assert _rows(store, host) == [(START_MS + seq * 1000, float(seq)) for seq in range(1, last + 1)]
            assert store.check() == []
            store.seal(everything=True)
            assert store.stats().head_rows == 0


def test_processes_are_found_in_the_log(tmp_path: Path) -> None:
    """Process tables and samples of one commit do not disturb each other."""
    rows = [sample(1, START_MS, 1.0, 2.0), sample(3, START_MS + 1000, 2.0, 3.0)]
    table = StoredRow(1, "s", 2, START_MS + 500, START_MS, RecordType.PROCESSES, "", b"\x90" * 33)
    with contextlib.closing(open_store(tmp_path)) as store:
        store.register_catalogue(1, FIRST)
        assert store.write([rows[0], table, rows[1]]).stored == 3
    with contextlib.closing(open_store(tmp_path)) as store:
        assert store.stats().head_rows == 3
        assert store.stats().samples == 4
        assert store.bounds(1) == (START_MS, START_MS + 1000)
        assert _rows(store, 1) == [(START_MS, 1.0), (START_MS + 1000, 2.0)]
        assert store.processes_at(1, START_MS + 900, 900) is None  # not a table, but found: else an error


@pytest.mark.slow
def test_an_hour_of_a_hundred_hosts_opens_fast(tmp_path: Path) -> None:
    """360,000 rows: the index is read, not the rows; then all are sealed, and each is there."""
    clock = ManualClock(START_MS)
    roomy = TimeSeriesSettings(head_raw_bytes=0, head_max_bytes=1 << 40)
    with contextlib.closing(TimeSeries.open(tmp_path / "samples.db", roomy, clock)) as store:
        for host in range(1, 101):
            store.register_catalogue(host, FIRST)
        for second in range(3600):
            time = START_MS + second * 1000
            store.write([sample(second + 1, time, host + second / 4, 1.0, host=host) for host in range(1, 101)])
    with contextlib.closing(open_store(tmp_path)) as store:
        assert store.stats().head_rows == 360_000
        assert store.stats().head_bytes == 0
        count = ask(store, START_MS, START_MS + 3_600_000, 3_600_000, Aggregation.COUNT, host=77)
        assert count[CPU.key] == [3600.0]
        while store.seal().pending:
            assert store.stats().head_bytes < 32 * 1024**2
        store.seal(everything=True)
        assert store.stats().head_rows == 0
        for host in (1, 50, 100):
            found = ask(store, START_MS, START_MS + 3_600_000, 3_600_000, Aggregation.SUM, host=host)
            assert found[CPU.key] == [sum(host + second / 4 for second in range(3600))]
