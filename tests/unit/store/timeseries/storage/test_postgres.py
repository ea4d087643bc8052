"""What is PostgreSQL's own in the time-series store: partitions, the replica, damage, a writer that was cut off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import StorageBusyError, StorageCorruptError, StorageUnreachableError
from cybercorp.protocol.metrics import Aggregation
from cybercorp.store.timeseries.settings import DAY_MS
from cybercorp.store.timeseries.storage.contract import ChunkEntry, LogEntry
from cybercorp.store.timeseries.storage.postgres import PostgresStorage
from cybercorp.store.timeseries.storage.postgres_reading import MAX_READERS
from cybercorp.store.timeseries.storage.postgres_schema import RESTORING
from tests.contract.opening import open_postgres, schema_of
from tests.unit.store.building import START_MS, ask, fill

HOUR_MS = 3_600_000


@pytest.fixture
def storage(database_url: str, tmp_path: Path) -> Iterator[PostgresStorage]:
    with contextlib.closing(PostgresStorage(database_url, schema=schema_of(tmp_path))) as opened:
        yield opened


def entry(number: int, *, kind: int = 1, at_ms: int = START_MS, received_ms: int | None = None) -> ChunkEntry:
    received = at_ms if received_ms is None else received_ms
    return ChunkEntry(number, 1, kind, 1, 0, number, number, at_ms, at_ms, 1, 3, received)


def tables(storage: PostgresStorage) -> set[str]:
    """The partitions that there are."""
    with storage.database.connect() as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND relnamespace = %s::regnamespace",
            (storage.database.schema,),
        )
        return {name for (name,) in found}


def test_partitions_are_made_ahead(storage: PostgresStorage) -> None:
    """The next one of the log and of the hour is there before anything needs it."""
    storage.append(LogEntry(600, START_MS, b"h", b"b"), [])
    storage.add_chunks([(entry(1), b"abc")], [])
    hour = START_MS // HOUR_MS
    assert tables(storage) == {"log_0", "log_1", f"chunk_bodies_0_{hour}", f"chunk_bodies_0_{hour + 1}"}


def test_an_hour_goes_when_all_of_it_is_merged(storage: PostgresStorage) -> None:
    """Fresh chunks are waste once they are merged; their partition is dropped, not cleaned row by row."""
    for number in range(4):
        storage.add_chunks([(entry(number + 1, at_ms=START_MS + number * HOUR_MS), b"abc")], [])
    hour = START_MS // HOUR_MS
    storage.replace_chunks([2], entry(10)._replace(end_ms=START_MS + 4 * HOUR_MS), b"abcdef")
    storage.replace_chunks([4], entry(11)._replace(end_ms=START_MS + 4 * HOUR_MS), b"abcdef")
    assert storage.sizes().unused_bytes == 3
    storage.replace_chunks([1], entry(12)._replace(end_ms=START_MS + 4 * HOUR_MS), b"abcdef")
    left = tables(storage)
    assert f"chunk_bodies_0_{hour}" not in left
    assert f"chunk_bodies_0_{hour + 3}" in left
    assert f"chunk_bodies_1_{START_MS // DAY_MS}" in left
    assert storage.sizes().unused_bytes == 3  # of the newest hour
    with storage.reader() as reader, reader.open(10) as read:
        assert read(0, 100) == b"abcdef"


def test_what_nothing_merges_moves_to_its_day(storage: PostgresStorage) -> None:
    """A lonely chunk does not hold an old hour for ever."""
    storage.add_chunks([(entry(1), b"one")], [])
    storage.add_chunks([(entry(2, at_ms=START_MS + 12 * HOUR_MS), b"two")], [])
    storage.trim_log(0, 1, [])
    assert f"chunk_bodies_0_{START_MS // HOUR_MS}" not in tables(storage)
    for number, expected in ((1, b"one"), (2, b"two")):
        with storage.reader() as reader, reader.open(number) as read:
            assert read(0, 100) == expected
    assert list(storage.check()) == []


def test_a_partition_that_is_held_is_dropped_later(storage: PostgresStorage) -> None:
    """Whoever reads it for long (a backup) is neither cut nor waited for."""
    for day in range(2):
        storage.add_chunks([(entry(day + 1, at_ms=START_MS + day * DAY_MS), b"abc")], [], settled=True)
    name = f"chunk_bodies_1_{START_MS // DAY_MS}"
    with storage.database.connect() as holder, holder.transaction():
        holder.execute(f"SELECT count(*) FROM {name}".encode())
        storage.drop_before(1, START_MS + 1, [1])
        assert name in tables(storage)
    storage.shrink(1)
    assert name not in tables(storage)


def test_a_body_that_is_gone_is_told(storage: PostgresStorage) -> None:
    """The check names the chunk."""
    storage.add_chunks([(entry(1), b"abc")], [])
    with storage.database.connect() as connection:
        connection.execute("DELETE FROM chunk_bodies")
    assert list(storage.check()) == ["The body of chunk 1 is gone."]


def test_readers_are_bounded(storage: PostgresStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all are lent, the next one is told to come again instead of waiting for ever."""
    monkeypatch.setattr("cybercorp.store.timeseries.storage.postgres_reading.WAIT_S", 0.05)
    storage.add_chunks([(entry(1), b"abc")], [])
    with contextlib.ExitStack() as stack:
        for _ in range(MAX_READERS):
            reader = stack.enter_context(storage.reader())
            stack.enter_context(reader.open(1))
        with pytest.raises(StorageBusyError) as refused, storage.reader() as reader, reader.open(1):
            pass
        assert refused.value.retryable
    with storage.reader() as reader, reader.open(1) as read:
        assert read(0, 3) == b"abc"


def test_sessions_that_were_cut(storage: PostgresStorage) -> None:
    """Idle readers notice by themselves; the writer says so once, and works again after `reopen`."""
    storage.append(LogEntry(1, START_MS, b"h", b"b"), [])
    storage.add_chunks([(entry(1), b"abc")], [])
    with storage.reader() as reader, reader.open(1) as read:
        assert read(0, 3) == b"abc"
    with storage.database.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
    with storage.reader() as reader, reader.open(1) as read:
        assert read(0, 3) == b"abc"
    with pytest.raises(StorageUnreachableError):
        storage.append(LogEntry(2, START_MS, b"h", b"b"), [])
    storage.reopen()
    storage.append(LogEntry(2, START_MS, b"h", b"b"), [])
    assert [number for number, _, _ in storage.log_heads()] == [1, 2]


def test_commits_are_durable_where_the_default_is_not(database_url: str, tmp_path: Path) -> None:
    """synchronous_commit = off would acknowledge what a crash takes."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(b"ALTER ROLE postgres SET synchronous_commit = off")
        try:
            with contextlib.closing(PostgresStorage(database_url, schema=schema_of(tmp_path))) as storage:
                row = storage._writer.execute("SHOW synchronous_commit").fetchone()
                assert row == ("on",)
        finally:
            connection.execute(b"ALTER ROLE postgres RESET synchronous_commit")


def test_a_busy_table_changes_nothing(database_url: str, tmp_path: Path) -> None:
    """The engine keeps its state and the same rows are stored when the lock is gone."""
    clock = ManualClock(START_MS)
    with contextlib.closing(open_postgres(database_url, tmp_path, clock)) as store:
        fill(store, 10)
        schema = schema_of(tmp_path)
        with psycopg.connect(database_url) as holder:
            holder.execute(f"LOCK TABLE {schema}.log".encode())
            with pytest.raises(StorageBusyError):
                fill(store, 10, first_seq=11, start_ms=START_MS + 10_000)
        assert store.stats().failed == ""
        fill(store, 10, first_seq=11, start_ms=START_MS + 10_000)
        assert ask(store, START_MS, START_MS + 60_000, 60_000, Aggregation.COUNT)["cpu"] == [20]


def test_a_restore_that_was_not_finished(storage: PostgresStorage, database_url: str, tmp_path: Path) -> None:
    """No server opens it; the hint says to restore again."""
    storage.set_meta({RESTORING: "1"})
    storage.close()
    with pytest.raises(StorageCorruptError, match="not finished") as refused:
        PostgresStorage(database_url, schema=schema_of(tmp_path))
    assert "restore" in refused.value.hint


def test_tables_of_another_program(database_url: str, tmp_path: Path) -> None:
    """Are refused and left as they are."""
    schema = schema_of(tmp_path)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.notes (a int)".encode())
    with pytest.raises(StorageCorruptError, match="not ours"):
        PostgresStorage(database_url, schema=schema)


def test_a_replica_that_is_away(database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The primary answers instead; the log says so once, without a password."""
    away = "postgresql://u:geheim@127.0.0.1:1/none"
    with contextlib.closing(PostgresStorage(database_url, away, schema=schema_of(tmp_path))) as storage:
        storage.add_chunks([(entry(1), b"abc")], [])
        for _ in range(3):
            with storage.reader() as reader, reader.open(1) as read:
                assert read(0, 3) == b"abc"
    assert caplog.text.count("History is read from the primary") == 1
    assert "geheim" not in caplog.text


def test_a_replica_that_lags(database_url: str, fresh_database_url: str, tmp_path: Path) -> None:
    """What it does not have yet is read from the primary, chunk by chunk; what nobody has is gone."""
    schema = schema_of(tmp_path)
    with contextlib.closing(PostgresStorage(fresh_database_url, schema=schema)) as replica:
        replica.add_chunks([(entry(1), b"old")], [])  # stands for a standby that has this one already
    with contextlib.closing(PostgresStorage(database_url, fresh_database_url, schema=schema)) as storage:
        storage.add_chunks([(entry(1), b"new"), (entry(2), b"two")], [])
        with storage.reader() as reader:
            with reader.open(1) as read:
                assert read(0, 3) == b"old"
            with reader.open(2) as read:
                assert read(0, 3) == b"two"
