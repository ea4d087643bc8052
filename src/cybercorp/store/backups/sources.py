"""Where a backup comes from: one consistent moment of the two SQLite files, or of a PostgreSQL database.

Both are read beside a running server. The samples' moment comes first: then every host that has samples is in the
records, and no number of a host is given out twice after a restore.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import create_engine

from cybercorp.core.errors import NotFoundError, StorageError
from cybercorp.store.backups.contents import OWN_META, Contents, Counts, Row, Stream
from cybercorp.store.backups.records import RecordSnapshot
from cybercorp.store.files import newer, storage_error
from cybercorp.store.postgres import Database
from cybercorp.store.records.postgres import SCHEMA_NAME as RECORDS_SCHEMA
from cybercorp.store.timeseries.storage import postgres_schema
from cybercorp.store.timeseries.storage import sqlite_schema as schema
from cybercorp.store.timeseries.storage.contract import CatalogueRow, ChunkEntry, HostMark, LogEntry
from cybercorp.store.timeseries.storage.sqlite import checksum_of, sound_rows

_OF_CHUNKS = "FROM chunks c JOIN chunk_bodies b ON b.id = c.id WHERE c.host > 0"
_ENTRY = ", ".join(f"c.{field}" for field in ChunkEntry._fields)
_SAME = "b.tier = c.tier AND b.at_ms = c.at_ms AND b.id = c.id"
_OF_PARTS = f"FROM chunks c JOIN chunk_bodies b ON {_SAME} WHERE c.host > 0"


class SqliteSource:
    """The files of a data folder."""

    def __init__(self, records: Path, samples: Path) -> None:
        """Raises NotFoundError where there are none, StorageError where they cannot be read."""
        self._path = samples
        for path in (records, samples):
            if not path.exists():
                raise NotFoundError(f"There is no database {path}.", hint="Name the folder with --data-dir.")
        self._samples = _open_sqlite(samples)
        try:
            with self._errors():
                self._check()
                self._samples.execute("BEGIN")
                self._samples.execute("SELECT count(*) FROM meta").fetchone()  # now the moment is fixed
            engine = create_engine("sqlite+pysqlite://", creator=lambda: _open_sqlite(records))
            connection = engine.connect()
            connection.exec_driver_sql("BEGIN")
            self._records = RecordSnapshot(engine, connection, records)
            self.contents = self._contents()
        except BaseException:
            self._samples.close()
            raise

    def records(self, table: str) -> Iterator[Row]:
        return self._records.rows(table)

    def catalogues(self) -> Iterator[CatalogueRow]:
        return map(CatalogueRow._make, self._sound("catalogues"))

    def streams(self) -> Iterator[Stream]:
        return map(Stream._make, self._sound("streams"))

    def marks(self) -> Iterator[HostMark]:
        return map(HostMark._make, self._sound("marks"))

    def log(self) -> Iterator[LogEntry]:
        with self._errors():
            rows = self._samples.execute("SELECT number, received_ms, head, body FROM log ORDER BY number")
            yield from map(LogEntry._make, rows)

    def chunks(self) -> Iterator[tuple[ChunkEntry, bytes]]:
        with self._errors():
            found = self._samples.execute(f"SELECT c.*, b.body {_OF_CHUNKS} ORDER BY c.id")
            for *entry, checksum, body in found:
                if checksum_of(entry) == checksum:
                    yield ChunkEntry._make(entry), body

    def close(self) -> None:
        self._samples.close()
        self._records.close()

    def _check(self) -> None:
        row = self._samples.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        found = int(row[0]) if row else 0
        if found > schema.SCHEMA:
            raise newer(self._path, found, schema.SCHEMA)
        if found < schema.SCHEMA:
            raise StorageError(
                f"{self._path} has schema {found}, and this version has {schema.SCHEMA}.",
                hint="Bring it to it first: cybercorp server migrate",
            )

    def _contents(self) -> Contents:
        with self._errors():
            meta = dict(self._samples.execute("SELECT key, value FROM meta").fetchall())
            damage: list[str] = []
            marks = [HostMark._make(row) for row in sound_rows(self._samples, "marks", damage)]
            counts = {
                table: sum(1 for _ in sound_rows(self._samples, table, damage)) for table in ("catalogues", "streams")
            }
            log, newest = self._samples.execute("SELECT count(*), coalesce(max(number), 0) FROM log").fetchone()
            chunks = 0
            for *entry, checksum in self._samples.execute(f"SELECT c.* {_OF_CHUNKS}"):
                if checksum_of(entry) == checksum:
                    chunks += 1
                else:
                    damage.append(f"A row of the table chunks is damaged and left out: {str(entry)[:200]}.")
        used = [newest, *(max(mark.sealed, mark.dropped) for mark in marks)]
        return Contents(
            revision=self._records.revision,
            numbers=self._records.numbers(),
            next_log=max(max(used) + 1, int(meta.get("next_log", "1"))),
            meta={key: value for key, value in meta.items() if key not in OWN_META},
            counts=Counts(records=self._records.counts(), marks=len(marks), log=log, chunks=chunks, **counts),
            damage=damage,
        )

    def _sound(self, table: str) -> Iterator[tuple[Any, ...]]:
        with self._errors():
            yield from sound_rows(self._samples, table, [])

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise storage_error(self._path, error) from error


class PostgresSource:
    """One snapshot (REPEATABLE READ) of both schemas of a database."""

    def __init__(self, url: str, *, records: str = RECORDS_SCHEMA, samples: str = postgres_schema.SCHEMA_NAME) -> None:
        """Raises SettingsError, NotFoundError where there is nothing, StorageError."""
        self._database = Database(url, f"{samples},{records}")
        connection = self._database.connect({"jit": "off"})
        try:
            with self._errors():
                self._check(connection, Database(url, samples))
                connection.autocommit = False
                connection.read_only = True
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self._connection = connection
            engine = create_engine("postgresql+psycopg://", creator=lambda: connection)
            bound = engine.connect().execution_options(schema_translate_map={None: records})
            with self._errors():
                # Else a partition could be dropped that this moment still knows; the server tries again later.
                connection.execute("LOCK TABLE log, chunk_bodies IN ACCESS SHARE MODE")
            self._records = RecordSnapshot(engine, bound, Database(url, records))
            self.contents = self._contents()
        except BaseException:
            connection.close()
            raise

    def records(self, table: str) -> Iterator[Row]:
        return self._records.rows(table)

    def catalogues(self) -> Iterator[CatalogueRow]:
        return map(CatalogueRow._make, self._copy("SELECT number, id, width, packed FROM catalogues ORDER BY 1"))

    def streams(self) -> Iterator[Stream]:
        for host, stream, acked in self._copy("SELECT host, stream, acked FROM streams"):
            yield Stream(host, stream.decode(errors="surrogatepass"), acked)

    def marks(self) -> Iterator[HostMark]:
        return map(HostMark._make, self._copy("SELECT host, sealed, dropped FROM marks"))

    def log(self) -> Iterator[LogEntry]:
        wanted = f"SELECT number, received_ms, head, body FROM log WHERE number > {self._trimmed} ORDER BY number"  # noqa: S608
        return map(LogEntry._make, self._copy(wanted))

    def chunks(self) -> Iterator[tuple[ChunkEntry, bytes]]:
        for *entry, body in self._copy(f"SELECT {_ENTRY}, b.body {_OF_PARTS}"):
            yield ChunkEntry._make(entry), body

    def close(self) -> None:
        self._records.close()
        self._connection.close()

    @staticmethod
    def _check(connection: psycopg.Connection[Any], database: Database) -> None:
        found = postgres_schema.schema_of(database, connection)
        if found > postgres_schema.SCHEMA:
            raise database.newer(found, postgres_schema.SCHEMA)
        if not found:
            raise NotFoundError(f"{database.shown} holds no data of a server.", hint="Check database_url.")

    def _contents(self) -> Contents:
        meta = dict(self._copy("SELECT key, value FROM meta"))
        self._trimmed = int(meta.get("trimmed", "0"))
        marks = list(self.marks())
        newest = self._one("SELECT coalesce(max(number), 0) FROM log")
        used = [newest, self._trimmed, *(max(mark.sealed, mark.dropped) for mark in marks)]
        return Contents(
            revision=self._records.revision,
            numbers=self._records.numbers(),
            next_log=max(max(used) + 1, int(meta.get("next_log", "1"))),
            meta={key: value for key, value in meta.items() if key not in OWN_META},
            counts=Counts(
                records=self._records.counts(),
                catalogues=self._one("SELECT count(*) FROM catalogues"),
                streams=self._one("SELECT count(*) FROM streams"),
                marks=len(marks),
                log=self._one(f"SELECT count(*) FROM log WHERE number > {self._trimmed}"),  # noqa: S608
                chunks=self._one(f"SELECT count(*) {_OF_PARTS}"),
            ),
        )

    def _one(self, statement: str) -> int:
        with self._errors():
            row = self._connection.execute(statement.encode()).fetchone()
            return int(row[0]) if row else 0

    def _copy(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """Rows by binary COPY: nothing is held on either side."""
        with self._errors(), self._connection.cursor() as cursor:
            described = self._connection.execute(f"{statement} LIMIT 0".encode()).description or []
            with cursor.copy(f"COPY ({statement}) TO STDOUT (FORMAT BINARY)".encode()) as copy:
                copy.set_types([column.type_code for column in described])
                yield from copy.rows()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise self._database.error(error) from error


def _open_sqlite(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=10
    )
    connection.execute("PRAGMA query_only = ON")
    return connection
