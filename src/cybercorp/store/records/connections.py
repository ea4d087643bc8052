"""SQLAlchemy engines for `records.db`: one writer connection that does every checkpoint, and read-only readers.

Errors of the database leave here as StorageError and its subclasses.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from cybercorp.core.errors import StorageError
from cybercorp.store.files import storage_error

_READERS = 4
_WRITER_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 16777216",
)


class Connections:
    """`writing()` is a transaction of the only writer, `reading()` one of a reader. IntegrityError passes through."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer = self._engine("rwc", 1, "BEGIN IMMEDIATE", _WRITER_PRAGMAS)
        self._readers = self._engine("ro", _READERS, "BEGIN", ("PRAGMA query_only = ON",))

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

    async def close(self) -> None:
        """Readers first: the last connection to close does a checkpoint, and that has to be the writer."""
        await self._readers.dispose()
        await self._writer.dispose()

    def _engine(self, mode: str, size: int, begin: str, pragmas: tuple[str, ...]) -> AsyncEngine:
        # By address, not by a creator: then SQLAlchemy makes the driver's threads daemons, which never hold up an exit.
        address = URL.create(
            "sqlite+aiosqlite", database=self.path.absolute().as_uri(), query={"uri": "true", "mode": mode}
        )
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

    @contextlib.contextmanager
    def _errors(self) -> Any:
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            if isinstance(error.orig, sqlite3.Error):
                raise storage_error(self.path, error.orig) from error
            raise StorageError(f"{self.path} could not be used: {error.orig}.", hint="Check the disk.") from error
        except sqlite3.Error as error:
            raise storage_error(self.path, error) from error
