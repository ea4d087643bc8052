"""The table of second factors. Secrets are sealed by the service; here they are only text."""

from __future__ import annotations

import msgspec
from sqlalchemy import or_, select, update

from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import FACTORS, USERS


class FactorRow(msgspec.Struct, frozen=True, kw_only=True):
    """A factor. It counts from `confirmed_at_ms` on; `last_step` is the last TOTP step that was accepted; of a
    passkey the authenticator's counter.
    """

    id: str
    user_id: str
    kind: str
    name: str
    secret: str
    created_at_ms: int
    last_step: int | None = None
    confirmed_at_ms: int | None = None
    used_at_ms: int | None = None

    def __repr__(self) -> str:
        return f"FactorRow(id={self.id!r}, kind={self.kind!r})"


class FactorRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def add(self, rows: list[FactorRow]) -> None:
        """All or none."""
        if rows:
            async with self._connections.writing() as connection:
                await connection.execute(FACTORS.insert(), [msgspec.structs.asdict(row) for row in rows])

    async def replace(self, user_id: str, kind: str, rows: list[FactorRow]) -> None:
        """These are all that a user has of a kind; of several callers, on any instance, the last one's stay."""
        user = select(USERS.c.id).where(USERS.c.id == user_id).with_for_update()
        async with self._connections.writing() as connection:
            await connection.execute(user)  # one after the other; SQLite has one writer anyway
            await connection.execute(FACTORS.delete().where(FACTORS.c.user_id == user_id, FACTORS.c.kind == kind))
            await connection.execute(FACTORS.insert(), [msgspec.structs.asdict(row) for row in rows])

    async def list_(self, user_id: str | None = None, *, unconfirmed: bool = False) -> list[FactorRow]:
        """The factors of a user, or of all; with `unconfirmed` also those that do not count yet."""
        statement = select(FACTORS).order_by(FACTORS.c.created_at_ms, FACTORS.c.id)
        if user_id is not None:
            statement = statement.where(FACTORS.c.user_id == user_id)
        if not unconfirmed:
            statement = statement.where(FACTORS.c.confirmed_at_ms.is_not(None))
        async with self._connections.reading() as connection:
            return [FactorRow(**row) for row in (await connection.execute(statement)).mappings()]

    async def find(self, id: str) -> FactorRow | None:
        async with self._connections.reading() as connection:
            row = (await connection.execute(select(FACTORS).where(FACTORS.c.id == id))).mappings().first()
        return FactorRow(**row) if row else None

    async def confirm(self, id: str, step: int, at_ms: int) -> bool:
        """It counts from now on; False where it did already."""
        statement = update(FACTORS).where(FACTORS.c.id == id, FACTORS.c.confirmed_at_ms.is_(None))
        async with self._connections.writing() as connection:
            values = {"confirmed_at_ms": at_ms, "last_step": step}
            return (await connection.execute(statement.values(values))).rowcount > 0

    async def take_step(self, id: str, step: int, at_ms: int) -> bool:
        """Accept the code of a step; False where this one or a later one was accepted before. One caller wins."""
        later = or_(FACTORS.c.last_step.is_(None), FACTORS.c.last_step < step)
        statement = update(FACTORS).where(FACTORS.c.id == id, FACTORS.c.confirmed_at_ms.is_not(None), later)
        async with self._connections.writing() as connection:
            return (await connection.execute(statement.values(last_step=step, used_at_ms=at_ms))).rowcount > 0

    async def take_count(self, id: str, count: int, at_ms: int) -> bool:
        """Note the counter of a passkey; False where it does not grow, but for those that never count (always 0)."""
        grown = FACTORS.c.last_step < count if count else FACTORS.c.last_step == 0
        statement = update(FACTORS).where(FACTORS.c.id == id, FACTORS.c.confirmed_at_ms.is_not(None), grown)
        async with self._connections.writing() as connection:
            return (await connection.execute(statement.values(last_step=count, used_at_ms=at_ms))).rowcount > 0

    async def take_once(self, id: str, at_ms: int) -> bool:
        """Use something that is good once; False where it was used before. One caller wins."""
        statement = update(FACTORS).where(FACTORS.c.id == id, FACTORS.c.used_at_ms.is_(None))
        async with self._connections.writing() as connection:
            return (await connection.execute(statement.values(used_at_ms=at_ms))).rowcount > 0

    async def remove(self, user_id: str, *, id: str | None = None, kind: str | None = None) -> int:
        """Remove one factor of a user, or all of a kind; returns how many."""
        statement = FACTORS.delete().where(FACTORS.c.user_id == user_id)
        if id is not None:
            statement = statement.where(FACTORS.c.id == id)
        if kind is not None:
            statement = statement.where(FACTORS.c.kind == kind)
        async with self._connections.writing() as connection:
            return (await connection.execute(statement)).rowcount
