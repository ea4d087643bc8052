"""The table of users."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from cybercorp.core.errors import ConflictError, NotFoundError
from cybercorp.protocol.users import UserKind
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import USERS


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    """A user as it is stored. A removed one keeps its id, and its name is never given again."""

    id: str
    name: str
    display_name: str
    kind: str
    created_at_ms: int
    password_hash: str | None = None
    password_changed_at_ms: int | None = None
    disabled_at_ms: int | None = None
    removed_at_ms: int | None = None

    @property
    def may_log_in(self) -> bool:
        """Whether it is a person, and not kept out."""
        return self.kind == UserKind.PERSON and self.disabled_at_ms is None

    def __repr__(self) -> str:
        return f"UserRow(id={self.id!r}, name={self.name!r})"


class UserRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def create(self, row: UserRow) -> None:
        """Raises ConflictError (`user_name_taken`), also for the name of somebody who was removed."""
        try:
            async with self._connections.writing() as connection:
                await connection.execute(USERS.insert().values(msgspec.structs.asdict(row)))
        except IntegrityError as error:
            raise ConflictError(
                f"There is, or was, a user '{row.name}'.", hint="Choose another name.", code="user_name_taken"
            ) from error

    async def find(self, id_or_name: str) -> UserRow | None:
        """The user of this id or name who was not removed; an id wins."""
        statement = (
            select(USERS)
            .where(USERS.c.removed_at_ms.is_(None), (USERS.c.id == id_or_name) | (USERS.c.name == id_or_name))
            .order_by((USERS.c.id == id_or_name).desc())
            .limit(1)
        )
        async with self._connections.reading() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return UserRow(**row) if row else None

    async def get(self, id_or_name: str) -> UserRow:
        """Raises NotFoundError (`user_not_found`)."""
        found = await self.find(id_or_name)
        if found is None:
            raise NotFoundError(
                f"There is no user '{id_or_name[:100]}'.", hint="List them: cybercorp users.", code="user_not_found"
            )
        return found

    async def list_(self) -> list[UserRow]:
        """All users by name."""
        statement = select(USERS).where(USERS.c.removed_at_ms.is_(None))
        async with self._connections.reading() as connection:
            found = [UserRow(**row) for row in (await connection.execute(statement)).mappings()]
        return sorted(found, key=lambda user: user.name)

    async def count(self, kind: str) -> int:
        """How many there are of a kind who may log in."""
        able = USERS.c.removed_at_ms.is_(None) & USERS.c.disabled_at_ms.is_(None) & (USERS.c.kind == kind)
        async with self._connections.reading() as connection:
            return int((await connection.execute(select(func.count()).select_from(USERS).where(able))).scalar_one())

    async def update(self, id: str, **values: Any) -> UserRow:
        """Set columns. Raises NotFoundError (`user_not_found`)."""
        statement = (
            update(USERS).where(USERS.c.id == id, USERS.c.removed_at_ms.is_(None)).values(values).returning(USERS)
        )
        async with self._connections.writing() as connection:
            row = (await connection.execute(statement)).mappings().first()
        if row is None:
            raise NotFoundError("This user was removed.", hint="List them: cybercorp users.", code="user_not_found")
        return UserRow(**row)
