"""The table of programs' tokens: only their SHA-256 hashes."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select, update

from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import API_TOKENS


class ApiTokenRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    hash: str
    user_id: str
    name: str
    permissions: list[str] | None
    scope: str
    created_at_ms: int
    expires_at_ms: int | None
    used_at_ms: int | None = None
    revoked_at_ms: int | None = None


class ApiTokenRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def create(self, row: ApiTokenRow) -> None:
        permissions = None if row.permissions is None else msgspec.json.encode(row.permissions).decode()
        values = {**msgspec.structs.asdict(row), "permissions": permissions}
        async with self._connections.writing() as connection:
            await connection.execute(API_TOKENS.insert().values(values))

    async def find(self, hash: str) -> ApiTokenRow | None:
        """The token with this hash, also one that is over or was revoked."""
        async with self._connections.reading() as connection:
            row = (await connection.execute(select(API_TOKENS).where(API_TOKENS.c.hash == hash))).mappings().first()
        return _row(row) if row else None

    async def find_by_id(self, id: str) -> ApiTokenRow | None:
        """As `find`."""
        async with self._connections.reading() as connection:
            row = (await connection.execute(select(API_TOKENS).where(API_TOKENS.c.id == id))).mappings().first()
        return _row(row) if row else None

    async def list_(self, user_id: str | None = None) -> list[ApiTokenRow]:
        """Those that were not revoked, newest first; of all, or of one user."""
        statement = select(API_TOKENS).where(API_TOKENS.c.revoked_at_ms.is_(None))
        if user_id is not None:
            statement = statement.where(API_TOKENS.c.user_id == user_id)
        statement = statement.order_by(API_TOKENS.c.created_at_ms.desc(), API_TOKENS.c.id)
        async with self._connections.reading() as connection:
            return [_row(row) for row in (await connection.execute(statement)).mappings()]

    async def revoke(self, at_ms: int, *, id: str | None = None, user_id: str | None = None) -> int:
        """One, or all of a user; returns how many were good until now."""
        statement = update(API_TOKENS).where(API_TOKENS.c.revoked_at_ms.is_(None))
        if id is not None:
            statement = statement.where(API_TOKENS.c.id == id)
        if user_id is not None:
            statement = statement.where(API_TOKENS.c.user_id == user_id)
        if id is None and user_id is None:
            return 0
        async with self._connections.writing() as connection:
            return (await connection.execute(statement.values(revoked_at_ms=at_ms))).rowcount

    async def set_used(self, id: str, at_ms: int) -> None:
        async with self._connections.writing() as connection:
            await connection.execute(update(API_TOKENS).where(API_TOKENS.c.id == id).values(used_at_ms=at_ms))


def _row(row: Any) -> ApiTokenRow:
    held = row["permissions"]
    return ApiTokenRow(**{**row, "permissions": None if held is None else msgspec.json.decode(held, type=list[str])})
