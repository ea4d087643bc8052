"""SQLAlchemy engines for the records: one writer connection, and read-only readers, on SQLite or PostgreSQL.

Errors of the database leave here as StorageError and its subclasses.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from cybercorp.core.errors import StorageBusyError, StorageError
from cybercorp.store.files import storage_error
from cybercorp.store.postgres import Database
from cybercorp.store.records.postgres import postgres_engine, writer_connection

_READERS = 4
_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 16777216",
)


class Connections:
    """`writing()` is a transaction of the only writer, `reading()` one of a reader. IntegrityError passes through."""

    def __init__(self, where: Path | Database, *, shared: bool = False) -> None:
        """`shared`: other servers write to the same PostgreSQL; each repository must bear that."""
        self.where = where
        if isinstance(where, Database):
            self._writer = postgres_engine(lambda: writer_connection(where, shared=shared), 1)
            self._readers = postgres_engine(
                lambda: where.connect_async({"default_transaction_read_only": "on"}), _READERS
            )
        else:
            self._writer = _sqlite_engine(where, "rwc", 1, "BEGIN IMMEDIATE", _WRITER_PRAGMAS)
            self._readers = _sqlite_engine(where, "ro", _READERS, "BEGIN", ("PRAGMA query_only = ON",))

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        with self._errors():
            async with self._writer.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        with self._errors():
            async with self._readers.begin() as connection:
                yield connection

    @contextlib.contextmanager
    def reading_file(self) -> Iterator[sqlite3.Connection]:
        """A reader of SQLite's file by the driver alone, for whole tables, in any thread."""
        assert isinstance(self.where, Path)
        with self._errors():
            connection = sqlite3.connect(f"{self.where.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
            with contextlib.closing(connection):
                connection.execute("PRAGMA query_only = ON")
                yield connection

    async def close(self) -> None:
        """Readers first: the last connection to close does a checkpoint, and that has to be the writer."""
        await self._readers.dispose()
        await self._writer.dispose()

    @contextlib.contextmanager
    def _errors(self) -> Any:
        where = self.where
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise self._translated(error.orig) from error
        except (sqlite3.Error, psycopg.Error) as error:
            raise self._translated(error) from error
        except PoolTimeoutError as error:
            shown = where.shown if isinstance(where, Database) else where
            raise StorageBusyError(f"All connections to {shown} are in use.", hint="Try again.") from error

    def _translated(self, error: BaseException | None) -> StorageError:
        if isinstance(self.where, Database):
            if isinstance(error, psycopg.Error):
                return self.where.error(error)
        elif isinstance(error, sqlite3.Error):
            return storage_error(self.where, error)
        return StorageError(f"The records could not be used: {error}.", hint="Check the database.")


def _sqlite_engine(path: Path, mode: str, size: int, begin: str, pragmas: tuple[str, ...]) -> AsyncEngine:
    # By address, not by a creator: then SQLAlchemy makes the driver's threads daemons, which never hold up an exit.
    address = URL.create("sqlite+aiosqlite", database=path.absolute().as_uri(), query={"uri": "true", "mode": mode})
    engine = create_async_engine(
        address,
        connect_args={"isolation_level": None, "timeout": 10},
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=30,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine
