"""Which schema the record tables have, and the way to another one: for `cybercorp server migrate`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from cybercorp.store.files import FileLock, check_database_file
from cybercorp.store.postgres import Database
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.migrating import Standing, migrate, standing


async def read_standing(where: Path | Database) -> Standing:
    """Where the tables are. Raises ConflictError while a server uses them, and StorageErrors."""
    async with _alone(where) as connection:
        return await connection.run_sync(standing, where)


async def migrate_to(where: Path | Database, revision: str) -> Standing:
    """Go to a revision, "head" or "base" (no table); an older one loses what it cannot hold.

    Raises InvalidInputError, ConflictError while a server uses them, and StorageErrors.
    """
    async with _alone(where) as connection:
        await connection.run_sync(migrate, where, revision)
        return await connection.run_sync(standing, where)


@contextlib.asynccontextmanager
async def _alone(where: Path | Database) -> AsyncIterator[AsyncConnection]:
    with contextlib.ExitStack() as stack:
        if isinstance(where, Path):
            check_database_file(where)
            stack.callback(FileLock(where).release)
        connections = Connections(where)
        try:
            async with connections.writing() as connection:
                yield connection
        finally:
            await connections.close()
