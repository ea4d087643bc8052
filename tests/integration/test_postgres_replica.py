"""A real streaming replica: history is read from it while it answers, and from the primary when it lags or is away."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import StorageUnwritableError
from cybercorp.protocol.metrics import Aggregation
from cybercorp.store.timeseries.storage.postgres import PostgresStorage
from tests.contract.opening import open_postgres
from tests.postgres import PostgresServer, postgres_server
from tests.stack import wait_until
from tests.unit.store.building import START_MS, ask, fill

pytestmark = pytest.mark.slow


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    with postgres_server("fsync = off", "shared_buffers = '32MB'", "max_wal_senders = 4") as server:
        yield server


@pytest.fixture
def replica(primary: PostgresServer) -> Iterator[PostgresServer]:
    folder = Path(tempfile.mkdtemp(prefix="cybercorp-replica-"))
    standby = PostgresServer(folder, "fsync = off")
    primary.backup_to(standby)
    standby.start()
    with contextlib.ExitStack() as stack:
        stack.callback(standby.remove)
        yield standby


def read_there(server: PostgresServer) -> int:
    """How many statements its client sessions have run so far, by its own count of transactions."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cybercorp'"
        ).fetchone()
    return int(row[0]) if row else 0


def caught_up(primary: PostgresServer, replica: PostgresServer) -> bool:
    with psycopg.connect(primary.url) as one, psycopg.connect(replica.url) as other:
        at = one.execute("SELECT pg_current_wal_lsn()").fetchone()
        row = other.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (at[0] if at else None,)).fetchone()
    return bool(row and row[0])


def test_reading_from_a_replica(primary: PostgresServer, replica: PostgresServer, tmp_path: Path) -> None:
    """Sealed history comes from it; with its replay paused, and stopped, every answer is still complete."""
    with contextlib.closing(open_postgres(primary.url, tmp_path, ManualClock(START_MS), read_url=replica.url)) as store:
        fill(store, 100)
        store.seal(everything=True)
        wait_until(lambda: caught_up(primary, replica), "the replica has it")
        assert ask(store, START_MS, START_MS + 600_000, 600_000, Aggregation.COUNT)["cpu"] == [100]
        assert read_there(replica) >= 1
        with psycopg.connect(replica.url, autocommit=True) as connection:
            connection.execute("SELECT pg_wal_replay_pause()")
        fill(store, 100, first_seq=101, start_ms=START_MS + 100_000)
        store.seal(everything=True)
        assert ask(store, START_MS, START_MS + 600_000, 600_000, Aggregation.COUNT)["cpu"] == [200]
        replica.stop()
        fill(store, 100, first_seq=201, start_ms=START_MS + 200_000)
        store.seal(everything=True)
        assert ask(store, START_MS, START_MS + 600_000, 600_000, Aggregation.COUNT)["cpu"] == [300]
        assert store.check() == []


def test_a_replica_cannot_be_written(primary: PostgresServer, replica: PostgresServer) -> None:
    """Named as database_url it is refused, with the cure."""
    with pytest.raises(StorageUnwritableError) as refused:
        PostgresStorage(replica.url)
    assert "primary" in refused.value.hint
