"""The table of elevations: who asked for which role for how long, and who decided."""

from __future__ import annotations

import msgspec
from sqlalchemy import select, update

from cybercorp.store.records.connections import Connections
from cybercorp.store.records.roles import BindingRow
from cybercorp.store.records.tables import BINDINGS, ELEVATIONS


class ElevationRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    user_id: str
    role: str
    scope: str
    duration_ms: int
    reason: str
    state: str
    requested_at_ms: int
    decided_by: str | None = None
    decided_at_ms: int | None = None
    binding_id: str | None = None


class ElevationRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def create(self, row: ElevationRow) -> None:
        async with self._connections.writing() as connection:
            await connection.execute(ELEVATIONS.insert().values(msgspec.structs.asdict(row)))

    async def find(self, id: str) -> ElevationRow | None:
        async with self._connections.reading() as connection:
            row = (await connection.execute(select(ELEVATIONS).where(ELEVATIONS.c.id == id))).mappings().first()
        return ElevationRow(**row) if row else None

    async def list_(self, user_id: str | None = None, limit: int = 200) -> list[ElevationRow]:
        """The newest first; of all, or of one user."""
        statement = select(ELEVATIONS).order_by(ELEVATIONS.c.requested_at_ms.desc(), ELEVATIONS.c.id).limit(limit)
        if user_id is not None:
            statement = statement.where(ELEVATIONS.c.user_id == user_id)
        async with self._connections.reading() as connection:
            return [ElevationRow(**row) for row in (await connection.execute(statement)).mappings()]

    async def decide(
        self, id: str, state: str, by: str, at_ms: int, *, pending: str, binding: BindingRow | None = None
    ) -> bool:
        """Decide once, and make the binding in the same transaction; False where it was decided already."""
        statement = update(ELEVATIONS).where(ELEVATIONS.c.id == id, ELEVATIONS.c.state == pending)
        values = {"state": state, "decided_by": by, "decided_at_ms": at_ms}
        values["binding_id"] = binding.id if binding else None
        async with self._connections.writing() as connection:
            if not (await connection.execute(statement.values(values))).rowcount:
                return False
            if binding is not None:
                await connection.execute(BINDINGS.insert().values(msgspec.structs.asdict(binding)))
        return True
