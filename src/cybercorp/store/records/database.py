"""The record tables: opened, checked and migrated. Services use the repositories and nothing below them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import select, text

from cybercorp.store.files import FileLock, check_database_file, corrupt
from cybercorp.store.postgres import Database
from cybercorp.store.records.agents import AgentRepository
from cybercorp.store.records.api_tokens import ApiTokenRepository
from cybercorp.store.records.audit import AuditRepository
from cybercorp.store.records.ceremonies import CeremonyRepository
from cybercorp.store.records.certificates import CertificateRepository
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.data_keys import DataKeyRepository
from cybercorp.store.records.elevations import ElevationRepository
from cybercorp.store.records.events import EventRepository
from cybercorp.store.records.factors import FactorRepository
from cybercorp.store.records.hosts import HostRepository
from cybercorp.store.records.migrating import migrate
from cybercorp.store.records.postgres import SCHEMA_NAME
from cybercorp.store.records.roles import BindingRepository, RoleRepository
from cybercorp.store.records.sealed_columns import SealedColumns
from cybercorp.store.records.sessions import SessionRepository
from cybercorp.store.records.signing_keys import SigningKeyRepository
from cybercorp.store.records.tables import META
from cybercorp.store.records.tokens import TokenRepository
from cybercorp.store.records.users import UserRepository

_CHECKED_BYTES = 64 * 1024**2
_SIZE = text(
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class"
    " WHERE relnamespace = to_regnamespace(:schema) AND relkind = 'r'"
)


class Records:
    """The record tables of one server, or `shared` by several. `epoch` was drawn when they were made."""

    def __init__(self, connections: Connections, lock: FileLock | None, epoch: str, *, shared: bool = False) -> None:
        self._connections = connections
        self._lock = lock
        self.epoch = epoch
        self.shared = shared
        self.hosts = HostRepository(connections)
        self.tokens = TokenRepository(connections)
        self.events = EventRepository(connections, epoch)
        self.audit = AuditRepository(connections)
        self.users = UserRepository(connections)
        self.sessions = SessionRepository(connections)
        self.factors = FactorRepository(connections)
        self.ceremonies = CeremonyRepository(connections)
        self.roles = RoleRepository(connections)
        self.bindings = BindingRepository(connections)
        self.elevations = ElevationRepository(connections)
        self.api_tokens = ApiTokenRepository(connections)
        self.agents = AgentRepository(connections)
        self.certificates = CertificateRepository(connections)
        self.data_keys = DataKeyRepository(connections)
        self.signing_keys = SigningKeyRepository(connections)
        self.sealed_columns = SealedColumns(connections)

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

    @classmethod
    async def connect(cls, url: str, *, schema: str = SCHEMA_NAME, shared: bool = False) -> Records:
        """Connect to PostgreSQL, make what is missing, and migrate. `shared`: beside another server.

        Raises ConflictError (`storage_in_use`), SettingsError, StorageNewerError, StorageUnreachableError,
        StorageUnwritableError, StorageCorruptError, StorageError.
        """
        connections = Connections(Database(url, schema), shared=shared)
        try:
            async with connections.writing() as connection:
                await connection.run_sync(migrate, connections.where)
                epoch = (await connection.execute(select(META.c.epoch))).scalar_one()
        except BaseException:
            await connections.close()
            raise
        return cls(connections, None, epoch, shared=shared)

    async def migrate(self, revision: str = "head") -> None:
        """Go to another schema; an older one loses what it cannot hold."""
        async with self._connections.writing() as connection:
            await connection.run_sync(migrate, self._connections.where, revision)

    async def ping(self) -> None:
        """Raises StorageError where the database does not answer."""
        async with self._connections.writing() as connection:
            await connection.execute(text("SELECT 1"))

    async def size_bytes(self) -> int:
        """What they take on disk; of a file also its write-ahead log."""
        path = self._connections.where
        if isinstance(path, Database):
            async with self._connections.reading() as connection:
                return int((await connection.execute(_SIZE, {"schema": path.schema})).scalar_one())
        wal = path.with_name(path.name + "-wal")
        return path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)

    async def close(self) -> None:
        await self._connections.close()
        if self._lock:
            self._lock.release()
