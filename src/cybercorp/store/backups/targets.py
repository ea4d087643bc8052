"""Where a backup goes: an empty data folder, or an empty PostgreSQL database. Nothing that exists is overwritten."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import sql
from sqlalchemy import text

from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import ConflictError, StorageError
from cybercorp.core.paths import ensure_private_dir
from cybercorp.store.backups.contents import RECORD_TABLES, Source, Tell
from cybercorp.store.backups.records import as_restored, put_numbers, put_records
from cybercorp.store.postgres import Database
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.migrating import migrate
from cybercorp.store.records.postgres import SCHEMA_NAME as RECORDS_SCHEMA
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.storage.contract import ChunkEntry, ChunkStorage
from cybercorp.store.timeseries.storage.postgres import PostgresStorage
from cybercorp.store.timeseries.storage.postgres_schema import RESTORING, SCHEMA_NAME
from cybercorp.store.timeseries.storage.sqlite import SqliteStorage

_ROWS = 1000
_CHUNK_BYTES = 8 * 1024**2
_T = TypeVar("_T")


def restore_to_folder(source: Source, folder: Path, records: str, samples: str, tell: Tell) -> list[str]:
    """Fill a data folder that has no database of these names; returns what the check of the result found.

    The files get their names when everything is in them. Raises ConflictError, StorageErrors.
    """
    ensure_private_dir(folder)
    for name in (records, samples):
        if (folder / name).exists():
            raise ConflictError(
                f"There is a database in {folder} already.",
                hint="Name an empty folder with --data-dir; nothing is ever overwritten.",
                code="data_exists",
            )
    made = folder / ".restoring"
    shutil.rmtree(made, ignore_errors=True)
    ensure_private_dir(made)
    try:
        (made / records).touch(mode=0o600)
        asyncio.run(_put_records(source, Connections(made / records), made / records))
        storage = SqliteStorage(made / samples)
        try:
            _put_samples(source, storage, tell)
        except BaseException:
            storage.close()
            raise
        problems = _check(storage, made / samples)
        (made / samples).replace(folder / samples)
        (made / records).replace(folder / records)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return problems


def restore_to_database(
    source: Source, url: str, folder: Path, tell: Tell, *, records: str = RECORDS_SCHEMA, samples: str = SCHEMA_NAME
) -> list[str]:
    """Fill a PostgreSQL database that holds no data of ours; what an interrupted restore left is removed first.

    Returns what the check of the result found. Raises ConflictError, SettingsError, StorageErrors.
    """
    _make_room(url, records, samples)
    storage = PostgresStorage(url, restoring=True, schema=samples)
    try:
        storage.set_meta({RESTORING: "1"})
        database = Database(url, records)
        asyncio.run(_put_records(source, Connections(database), database))
        _put_samples(source, storage, tell)
        storage.delete_meta(RESTORING)
    except BaseException:
        storage.close()
        raise
    return _check(storage, folder / samples)


def _make_room(url: str, records: str, samples: str) -> None:
    database = Database(url, f"{samples},{records}")
    with database.connect() as connection:
        try:
            held = "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname IN (%s, %s)"
            found = {name for (name,) in connection.execute(held, (records, samples))}
            if not found:
                return
            unfinished = (
                samples in found
                and connection.execute(
                    sql.SQL("SELECT 1 FROM {}.meta WHERE key = %s").format(sql.Identifier(samples)), (RESTORING,)
                ).fetchone()
            )
            if not unfinished:
                raise ConflictError(
                    f"{database.shown} holds data already.",
                    hint="Name an empty database; nothing is ever overwritten.",
                    code="data_exists",
                )
            for name in (samples, records):
                connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))
        except psycopg.Error as error:
            raise database.error(error) from error


async def _put_records(source: Source, connections: Connections, where: Path | Database) -> None:
    try:
        async with connections.writing() as connection:
            await connection.run_sync(migrate, where, source.contents.revision)
            await connection.execute(text("DELETE FROM meta"))
            for table in RECORD_TABLES:
                for rows in _batches(source.records(table), _ROWS):
                    await connection.run_sync(put_records, table, as_restored(table, rows))
            await connection.run_sync(put_numbers, source.contents.numbers)
            await connection.run_sync(migrate, where)
    finally:
        await connections.close()


def _put_samples(source: Source, storage: ChunkStorage, tell: Tell) -> None:
    counts = source.contents.counts
    done = counts.total - counts.chunks - counts.log
    storage.add_catalogues(list(source.catalogues()))
    storage.add_chunks([], list(source.marks()))
    storage.trim_log(0, source.contents.next_log, [(one.host, one.stream, one.acked) for one in source.streams()])
    storage.set_meta(dict(source.contents.meta))
    for logged in source.log():
        storage.append(logged, ())
        done += 1
        tell(done, counts.total)
    for group in _groups(source.chunks()):
        storage.add_chunks(group, (), settled=True)
        done += len(group)
        tell(done, counts.total)
    if done != counts.total:
        raise StorageError(
            f"{done} rows were copied, and {counts.total} were announced.",
            hint="Please report it; nothing was changed.",
        )


def _groups(chunks: Iterable[tuple[ChunkEntry, bytes]]) -> Iterator[list[tuple[ChunkEntry, bytes]]]:
    group: list[tuple[ChunkEntry, bytes]] = []
    size = 0
    for entry, body in chunks:
        group.append((entry, body))
        size += len(body)
        if size >= _CHUNK_BYTES or len(group) >= _ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _check(storage: ChunkStorage, path: Path) -> list[str]:
    """Open what was restored as a server would, and verify every chunk."""
    try:
        series = TimeSeries(storage, path, TimeSeriesSettings(), SystemClock())
    except BaseException:
        storage.close()
        raise
    try:
        return series.check()
    finally:
        series.close()


def _batches(rows: Iterable[_T], size: int) -> Iterator[list[_T]]:
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch
