"""The table of agents: the public key of each, how often it was handed on, and whether it is admitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
from sqlalchemy import bindparam, select, update

from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import AGENTS


class AgentState(StrEnum):
    """A locked one has shown an old generation: somebody else has its key. A retired one never returns."""

    ACTIVE = "active"
    PENDING = "pending"
    LOCKED = "locked"
    RETIRED = "retired"


class AgentRow(msgspec.Struct, frozen=True, kw_only=True):
    """`public_key` is Ed25519, 64 hexadecimal digits. `generation` grows with every connection."""

    host_id: str
    public_key: str
    generation: int
    state: str
    enrolled_at_ms: int
    network: str
    decided_by: str | None = None
    decided_at_ms: int | None = None
    reason: str | None = None


class AgentRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def list_(self) -> list[AgentRow]:
        async with self._connections.reading() as connection:
            return [AgentRow(**row) for row in (await connection.execute(select(AGENTS))).mappings()]

    async def put(self, row: AgentRow) -> None:
        """Add one, or replace the one of the same host."""
        async with self._connections.writing() as connection:
            await connection.execute(AGENTS.delete().where(AGENTS.c.host_id == row.host_id))
            await connection.execute(AGENTS.insert().values(msgspec.structs.asdict(row)))

    async def restore(self, rows: Sequence[AgentRow]) -> None:
        """Add agents exactly as they are."""
        async with self._connections.writing() as connection:
            await connection.execute(AGENTS.insert(), [msgspec.structs.asdict(row) for row in rows])

    async def set_generations(self, generations: Mapping[str, int]) -> None:
        """One transaction for all; a generation never goes back."""
        if not generations:
            return
        later = (AGENTS.c.host_id == bindparam("of_host")) & (AGENTS.c.generation < bindparam("to_generation"))
        statement = update(AGENTS).where(later).values(generation=bindparam("to_generation"))
        rows = [{"of_host": host, "to_generation": number} for host, number in generations.items()]
        async with self._connections.writing() as connection:
            await connection.execute(statement, rows)

    async def remove(self, host_id: str) -> None:
        async with self._connections.writing() as connection:
            await connection.execute(AGENTS.delete().where(AGENTS.c.host_id == host_id))
