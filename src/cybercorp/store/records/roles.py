"""The tables of roles and bindings."""

from __future__ import annotations

import msgspec
from sqlalchemy import RowMapping, select
from sqlalchemy.exc import IntegrityError

from cybercorp.core.errors import ConflictError, NotFoundError
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import BINDINGS, ROLES


class RoleRow(msgspec.Struct, frozen=True, kw_only=True):
    """A role that somebody made; those that ship are not stored."""

    name: str
    permissions: list[str]
    description: str
    created_at_ms: int


class BindingRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    user_id: str
    role: str
    scope: str
    effect: str
    starts_at_ms: int
    expires_at_ms: int | None
    created_by: str
    created_at_ms: int
    reason: str


class RoleRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def list_(self) -> list[RoleRow]:
        async with self._connections.reading() as connection:
            return [_role(row) for row in (await connection.execute(select(ROLES).order_by(ROLES.c.name))).mappings()]

    async def create(self, row: RoleRow) -> None:
        """Raises ConflictError (`role_taken`)."""
        values = {
            **msgspec.structs.asdict(row),
            "permissions": msgspec.json.encode(row.permissions).decode(),
            "builtin": 0,
        }
        try:
            async with self._connections.writing() as connection:
                await connection.execute(ROLES.insert().values(values))
        except IntegrityError as error:
            raise ConflictError(f"There is a role '{row.name}'.", hint="Choose another.", code="role_taken") from error

    async def remove(self, name: str) -> None:
        """Raises NotFoundError (`role_not_found`)."""
        async with self._connections.writing() as connection:
            if not (await connection.execute(ROLES.delete().where(ROLES.c.name == name))).rowcount:
                raise NotFoundError(
                    f"There is no role '{name[:100]}' that was made here.",
                    hint="List them: cybercorp roles.",
                    code="role_not_found",
                )


class BindingRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def list_(self) -> list[BindingRow]:
        """All of them, also those that are over, oldest first."""
        statement = select(BINDINGS).order_by(BINDINGS.c.created_at_ms, BINDINGS.c.id)
        async with self._connections.reading() as connection:
            return [BindingRow(**row) for row in (await connection.execute(statement)).mappings()]

    async def create(self, row: BindingRow) -> None:
        async with self._connections.writing() as connection:
            await connection.execute(BINDINGS.insert().values(msgspec.structs.asdict(row)))

    async def remove(self, id: str) -> None:
        """Raises NotFoundError (`binding_not_found`)."""
        async with self._connections.writing() as connection:
            if not (await connection.execute(BINDINGS.delete().where(BINDINGS.c.id == id))).rowcount:
                raise NotFoundError(
                    "There is no such binding.", hint="List them: cybercorp bindings.", code="binding_not_found"
                )

    async def remove_for(self, user_id: str) -> None:
        """All of a user."""
        async with self._connections.writing() as connection:
            await connection.execute(BINDINGS.delete().where(BINDINGS.c.user_id == user_id))

    async def delete_before(self, time_ms: int) -> int:
        """Forget those that were over before then; returns how many."""
        async with self._connections.writing() as connection:
            return (await connection.execute(BINDINGS.delete().where(BINDINGS.c.expires_at_ms < time_ms))).rowcount


def _role(row: RowMapping) -> RoleRow:
    return RoleRow(
        name=row["name"],
        permissions=msgspec.json.decode(row["permissions"], type=list[str]),
        description=row["description"],
        created_at_ms=row["created_at_ms"],
    )
