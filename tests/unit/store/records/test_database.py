"""Opening, migrating and refusing `records.db`."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from cybercorp.core.errors import (
    ConflictError,
    StorageCorruptError,
    StorageNewerError,
    StorageUnwritableError,
)
from cybercorp.protocol.hosts import HostFacts
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.database import Records
from cybercorp.store.records.tables import METADATA


def _tables(path: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    """And the size on disk is told."""
    first = await Records.open(tmp_path / "records.db")
    host = await first.hosts.create("web-1", {}, HostFacts(), 1)
    assert await first.size_bytes() > 0
    await first.close()
    second = await Records.open(tmp_path / "records.db")
    assert await second.hosts.get("web-1") == host
    await second.close()


async def test_migrations_go_down_and_up_again(tmp_path: Path) -> None:
    """The way down leaves no table, the way up makes them all."""
    path = tmp_path / "records.db"
    records = await Records.open(path)
    await records.migrate("base")
    assert _tables(path) - {"sqlite_sequence"} == {"alembic_version"}
    await records.migrate()
    assert {"hosts", "tokens", "events", "meta"} <= _tables(path)
    await records.hosts.create("web-1", {}, HostFacts(), 1)
    await records.close()


async def test_migrations_make_what_the_tables_declare(tmp_path: Path) -> None:
    """Alembic finds no difference between the scripts and the declarations."""
    path = tmp_path / "records.db"
    await (await Records.open(path)).close()
    connections = Connections(path)

    def compare(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    async with connections.writing() as connection:
        assert await connection.run_sync(compare) == []
    await connections.close()


async def test_no_database(tmp_path: Path) -> None:
    """A text file in its place is named and left alone."""
    path = tmp_path / "records.db"
    path.write_text("these are my notes, not a database")
    with pytest.raises(StorageCorruptError) as caught:
        await Records.open(path)
    assert f"mv {path} {path}.damaged" in caught.value.hint
    assert path.read_text().startswith("these are")


async def test_a_database_of_another_program(tmp_path: Path) -> None:
    """It is refused and left as it was."""
    path = tmp_path / "records.db"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text)")
    with pytest.raises(StorageCorruptError, match="another program"):
        await Records.open(path)
    assert _tables(path) == {"notes"}


async def test_damaged_pages(tmp_path: Path) -> None:
    """Found at the start, not in the middle of the night."""
    path = tmp_path / "records.db"
    await (await Records.open(path)).close()
    data = bytearray(path.read_bytes())
    data[4096 : 4096 * 4] = random.Random(1).randbytes(4096 * 3)
    path.write_bytes(data)
    with pytest.raises(StorageCorruptError, match="damaged"):
        await Records.open(path)


async def test_a_newer_version(tmp_path: Path) -> None:
    """Which revision it has, and what to install."""
    path = tmp_path / "records.db"
    await (await Records.open(path)).close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '0099'")
    with pytest.raises(StorageNewerError, match="schema 0099"):
        await Records.open(path)


async def test_an_unwritable_folder(tmp_path: Path) -> None:
    """It is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnwritableError):
        await Records.open(tmp_path / "file" / "records.db")


async def test_a_second_server(tmp_path: Path) -> None:
    """One at a time; a refused opening leaves nothing locked."""
    first = await Records.open(tmp_path / "records.db")
    with pytest.raises(ConflictError) as caught:
        await Records.open(tmp_path / "records.db")
    assert caught.value.error_code == "storage_in_use"
    await first.close()
    await (await Records.open(tmp_path / "records.db")).close()


async def test_readers_cannot_write(tmp_path: Path) -> None:
    """They are opened read-only, so they can never change or checkpoint the file."""
    path = tmp_path / "records.db"
    await (await Records.open(path)).close()
    connections = Connections(path)
    with pytest.raises(StorageUnwritableError):
        async with connections.reading() as connection:
            await connection.exec_driver_sql("DELETE FROM events")
    await connections.close()
