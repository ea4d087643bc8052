"""`records.db`: opened, checked and migrated. The server's services use the repositories and nothing below them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import select

from cybercorp.store.files import FileLock, check_database_file, corrupt
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.events import EventRepository
from cybercorp.store.records.hosts import HostRepository
from cybercorp.store.records.migrating import migrate
from cybercorp.store.records.tables import META
from cybercorp.store.records.tokens import TokenRepository

_CHECKED_BYTES = 64 * 1024**2


class Records:
    """The record tables of one server. `epoch` was drawn when the file was made."""

    def __init__(self, connections: Connections, lock: FileLock, epoch: str) -> None:
        self._connections = connections
        self._lock = lock
        self.epoch = epoch
        self.hosts = HostRepository(connections)
        self.tokens = TokenRepository(connections)
        self.events = EventRepository(connections, epoch)

    @classmethod
    async def open(cls, path: Path) -> Records:
        """Open or create, and migrate.

        Raises StorageCorruptError, StorageNewerError, StorageUnwritableError, and ConflictError (`storage_in_use`).
        """
        size = await asyncio.to_thread(check_database_file, path)
        lock = FileLock(path)
        connections = Connections(path)
        try:
            async with connections.writing() as connection:
                if 0 < size <= _CHECKED_BYTES:
                    found = (await connection.exec_driver_sql("PRAGMA quick_check(1)")).scalar_one()
                    if found != "ok":
                        raise corrupt(path, f"it is damaged ({found})")
                await connection.run_sync(migrate, path)
                epoch = (await connection.execute(select(META.c.epoch))).scalar_one()
        except BaseException:
            await connections.close()
            lock.release()
            raise
        return cls(connections, lock, epoch)

    async def migrate(self, revision: str = "head") -> None:
        """Go to another schema; an older one loses what it cannot hold."""
        async with self._connections.writing() as connection:
            await connection.run_sync(migrate, self._connections.path, revision)

    def size_bytes(self) -> int:
        """The file and its write-ahead log."""
        path = self._connections.path
        wal = path.with_name(path.name + "-wal")
        return path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)

    async def close(self) -> None:
        await self._connections.close()
        self._lock.release()
