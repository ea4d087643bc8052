"""How the records are reached on PostgreSQL: sessions with bounded waits, and one that may write."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from cybercorp.store.postgres import WAIT_S, Database, lock_statement

SCHEMA_NAME = "cybercorp_records"
WRITER_LOCK = 2
_LOCK_STEP_S = 0.05
_STALE_S = 300

Connection = psycopg.AsyncConnection[tuple[Any, ...]]


def postgres_engine(connect: Callable[[], Awaitable[Connection]], size: int) -> AsyncEngine:
    """An engine of at most `size` connections. One that was cut is noticed before it is used, and made anew."""
    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=connect,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=WAIT_S,
        pool_pre_ping=True,
        pool_recycle=_STALE_S,
    )


async def writer_connection(database: Database, *, shared: bool = False) -> Connection:
    """The session that may write, with its schema made; `shared`: others may write as well.

    Raises ConflictError (`storage_in_use`), StorageErrors.
    """
    connection = await database.connect_async()
    try:
        await connection.set_autocommit(True)
        if not shared:
            await _take_lock(database, connection)
        await connection.execute(
            sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(database.schema)), prepare=False
        )
        setting = await (await connection.execute("SHOW synchronous_commit")).fetchone()
        if setting == ("off",):
            await connection.execute("SET synchronous_commit = on")
        await connection.set_autocommit(False)
    except psycopg.Error as error:
        await connection.close()
        raise database.error(error) from error
    except BaseException:
        await connection.close()
        raise
    return connection


async def _take_lock(database: Database, connection: Connection) -> None:
    deadline = time.monotonic() + WAIT_S / 2
    while True:
        row = await (await connection.execute(lock_statement(WRITER_LOCK).encode())).fetchone()
        if row and row[0]:
            return
        if time.monotonic() >= deadline:
            raise database.in_use()
        await asyncio.sleep(_LOCK_STEP_S)
