"""The table of agents: the public key of each, how often it was handed on, and whether it is admitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import bindparam, select, update

from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import AGENTS

_AT_ONCE = 500


class AgentState(StrEnum):
    """A locked one has shown an old generation: somebody else has its key. A retired one never returns."""

    ACTIVE = "active"
    PENDING = "pending"
    LOCKED = "locked"
    RETIRED = "retired"


class Generation(msgspec.Struct, frozen=True):
    """How often a key was handed on, and the SHA-256 of the random mark that came with it (empty: none yet).

    Number 0 stands for whatever is shown next: the agent may have any that was handed out.
    """

    number: int
    mark: str


ANY = Generation(0, "")
FIRST = Generation(1, "")


class AgentRow(msgspec.Struct, frozen=True, kw_only=True):
    """`public_key` is Ed25519, 64 hexadecimal digits. `generation` grows with every connection."""

    host_id: str
    public_key: str
    generation: int
    state: str
    enrolled_at_ms: int
    network: str
    mark: str = ""
    decided_by: str | None = None
    decided_at_ms: int | None = None
    reason: str | None = None

    @property
    def kept(self) -> Generation:
        """What the agent is known to have."""
        return Generation(self.generation, self.mark)

    def moved(self, to: Generation) -> AgentRow:
        """The same agent with another generation."""
        return msgspec.structs.replace(self, generation=to.number, mark=to.mark)


class AgentRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def list_(self) -> list[AgentRow]:
        async with self._connections.reading() as connection:
            return [AgentRow(**row) for row in (await connection.execute(select(AGENTS))).mappings()]

    async def find(self, host_id: str) -> AgentRow | None:
        async with self._connections.reading() as connection:
            row = (await connection.execute(select(AGENTS).where(AGENTS.c.host_id == host_id))).mappings().first()
        return AgentRow(**row) if row else None

    async def shut_out(self) -> dict[str, str]:
        """The states of those that are not active, by host."""
        statement = select(AGENTS.c.host_id, AGENTS.c.state).where(AGENTS.c.state != AgentState.ACTIVE)
        async with self._connections.reading() as connection:
            return {str(host): str(state) for host, state in await connection.execute(statement)}

    async def add(self, row: AgentRow) -> None:
        """A new one; raises IntegrityError where the host has a key."""
        async with self._connections.writing() as connection:
            await connection.execute(AGENTS.insert().values(msgspec.structs.asdict(row)))

    async def decide(
        self, host_id: str, state: AgentState, *, by: str | None, at_ms: int, reason: str, anew: bool = False
    ) -> AgentRow | None:
        """Change the state; `anew`: whatever generation is shown next is the first. None where the host has no key."""
        values: dict[str, Any] = {"state": state, "decided_by": by, "decided_at_ms": at_ms, "reason": reason}
        if anew:
            values |= {"generation": ANY.number, "mark": ANY.mark}
        statement = update(AGENTS).where(AGENTS.c.host_id == host_id).values(**values).returning(AGENTS)
        async with self._connections.writing() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return AgentRow(**row) if row else None

    async def restore(self, rows: Sequence[AgentRow]) -> None:
        """Add agents exactly as they are."""
        async with self._connections.writing() as connection:
            await connection.execute(AGENTS.insert(), [msgspec.structs.asdict(row) for row in rows])

    async def advance(self, generations: Mapping[str, Generation]) -> list[AgentRow]:
        """Move agents on, all in one transaction; a generation never goes back.

        Returns those that stand elsewhere afterwards: at the same number with the mark of another connection, or
        admitted no more. Another instance has moved them.
        """
        if not generations:
            return []
        later = (AGENTS.c.host_id == bindparam("of_host")) & (AGENTS.c.generation < bindparam("to_number"))
        statement = (
            update(AGENTS)
            .where(later, AGENTS.c.state == AgentState.ACTIVE)
            .values(generation=bindparam("to_number"), mark=bindparam("to_mark"))
        )
        rows = [{"of_host": host, "to_number": one.number, "to_mark": one.mark} for host, one in generations.items()]
        elsewhere = []
        async with self._connections.writing() as connection:
            await connection.execute(statement, rows)
            hosts = list(generations)
            for start in range(0, len(hosts), _AT_ONCE):
                some = hosts[start : start + _AT_ONCE]
                found = await connection.execute(select(AGENTS).where(AGENTS.c.host_id.in_(some)))
                elsewhere += [row for one in found.mappings() if _differs(row := AgentRow(**one), generations)]
        return elsewhere

    async def remove(self, host_id: str) -> None:
        async with self._connections.writing() as connection:
            await connection.execute(AGENTS.delete().where(AGENTS.c.host_id == host_id))


def _differs(row: AgentRow, generations: Mapping[str, Generation]) -> bool:
    wanted = generations[row.host_id]
    return row.state != AgentState.ACTIVE or (row.generation == wanted.number and row.mark != wanted.mark)
