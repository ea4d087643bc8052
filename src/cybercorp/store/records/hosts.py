"""The table of hosts: identity, labels, facts, and when a host was last seen."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import RowMapping, bindparam, or_, select, update
from sqlalchemy.exc import IntegrityError

from cybercorp.core.errors import ConflictError, NotFoundError
from cybercorp.core.ids import new_id
from cybercorp.protocol.hosts import HostFacts
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import HOSTS


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """A host as it is stored. `key` names it in the time-series store and is never reused."""

    key: int
    id: str
    name: str
    labels: dict[str, str]
    facts: HostFacts
    joined_at_ms: int
    seen_at_ms: int | None = None
    interval_ms: int = 1000
    removed_at_ms: int | None = None


class HostRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def create(
        self, name: str, labels: Mapping[str, str], facts: HostFacts, at_ms: int, *, interval_ms: int = 1000
    ) -> HostRow:
        """Add a host. Raises ConflictError (`host_name_taken`)."""
        statement = HOSTS.insert().values(
            id=new_id("host"),
            name=name,
            labels=_text(dict(labels)),
            facts=_text(facts),
            joined_at_ms=at_ms,
            interval_ms=interval_ms,
        )
        try:
            async with self._connections.writing() as connection:
                row = (await connection.execute(statement.returning(HOSTS))).mappings().one()
        except IntegrityError as error:
            raise _taken(name) from error
        return _row(row)

    async def restore(self, rows: Sequence[HostRow]) -> None:
        """Add hosts exactly as they are, key and id included. Raises ConflictError where one is taken."""
        made = [{**msgspec.structs.asdict(row), "labels": _text(row.labels), "facts": _text(row.facts)} for row in rows]
        try:
            async with self._connections.writing() as connection:
                await connection.execute(HOSTS.insert(), made)
        except IntegrityError as error:
            raise ConflictError("Two hosts have the same key, id or name.", code="host_name_taken") from error

    async def get(self, id_or_name: str) -> HostRow:
        """The host with this id or name. Raises NotFoundError (`host_not_found`) that names the nearest one."""
        found = await self.find(id_or_name)
        if found is not None:
            return found
        names = [host.name for host in await self.list_()]
        close = difflib.get_close_matches(id_or_name, names, n=1)
        hint = f"Did you mean '{close[0]}'?" if close else "`cybercorp hosts` lists them all."
        raise NotFoundError(f"There is no host '{id_or_name[:100]}'.", hint=hint, code="host_not_found")

    async def find(self, id_or_name: str) -> HostRow | None:
        """The host with this id or name that was not removed; an id wins over a name."""
        statement = (
            select(HOSTS)
            .where(HOSTS.c.removed_at_ms.is_(None), or_(HOSTS.c.id == id_or_name, HOSTS.c.name == id_or_name))
            .order_by((HOSTS.c.id == id_or_name).desc())
            .limit(1)
        )
        async with self._connections.reading() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return _row(row) if row else None

    async def list_(self, *, removed: bool = False) -> list[HostRow]:
        """All hosts by name; with `removed` also those that were removed."""
        statement = select(HOSTS)
        if not removed:
            statement = statement.where(HOSTS.c.removed_at_ms.is_(None))
        async with self._connections.reading() as connection:
            found = [_row(row) for row in (await connection.execute(statement)).mappings()]
        return sorted(found, key=lambda host: (host.name, host.key))  # here: each database has an order of its own

    async def update_facts(self, id: str, facts: HostFacts, *, interval_ms: int | None = None) -> HostRow:
        """Keep what the host says of itself now. Raises NotFoundError."""
        values: dict[str, Any] = {"facts": _text(facts)}
        if interval_ms is not None:
            values["interval_ms"] = interval_ms
        return await self._update(id, values)

    async def update_seen(self, seen_at_ms: Mapping[int, int]) -> None:
        """When the hosts with these keys were last heard of; one transaction for all."""
        if not seen_at_ms:
            return
        statement = update(HOSTS).where(HOSTS.c.key == bindparam("at_key")).values(seen_at_ms=bindparam("at_ms"))
        async with self._connections.writing() as connection:
            await connection.execute(statement, [{"at_key": key, "at_ms": at} for key, at in seen_at_ms.items()])

    async def set_labels(self, id: str, changes: Mapping[str, str | None]) -> HostRow:
        """Set labels; None takes one away. Raises NotFoundError."""
        async with self._connections.writing() as connection:
            chosen = HOSTS.c.id == id, HOSTS.c.removed_at_ms.is_(None)
            held = (await connection.execute(select(HOSTS.c.labels).where(*chosen))).scalar_one_or_none()
            if held is None:
                raise _unknown(id)
            merged: dict[str, str | None] = {**msgspec.json.decode(held, type=dict[str, str]), **changes}
            labels = {key: value for key, value in merged.items() if value is not None}
            statement = update(HOSTS).where(*chosen).values(labels=_text(labels)).returning(HOSTS)
            return _row((await connection.execute(statement)).mappings().one())

    async def rename(self, id: str, name: str) -> HostRow:
        """Give a host another name. Raises ConflictError (`host_name_taken`), NotFoundError."""
        try:
            return await self._update(id, {"name": name})
        except IntegrityError as error:
            raise _taken(name) from error

    async def remove(self, id: str, at_ms: int) -> HostRow:
        """The host is gone; its row stays, so that its key is not reused. Raises NotFoundError."""
        return await self._update(id, {"removed_at_ms": at_ms})

    async def _update(self, id: str, values: dict[str, Any]) -> HostRow:
        statement = (
            update(HOSTS).where(HOSTS.c.id == id, HOSTS.c.removed_at_ms.is_(None)).values(values).returning(HOSTS)
        )
        async with self._connections.writing() as connection:
            row = (await connection.execute(statement)).mappings().first()
        if row is None:
            raise _unknown(id)
        return _row(row)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _row(row: RowMapping) -> HostRow:
    return HostRow(
        key=row["key"],
        id=row["id"],
        name=row["name"],
        labels=msgspec.json.decode(row["labels"], type=dict[str, str]),
        facts=msgspec.json.decode(row["facts"], type=HostFacts),
        joined_at_ms=row["joined_at_ms"],
        seen_at_ms=row["seen_at_ms"],
        interval_ms=row["interval_ms"],
        removed_at_ms=row["removed_at_ms"],
    )


def _taken(name: str) -> ConflictError:
    return ConflictError(
        f"There is a host named '{name[:100]}' already.",
        hint="Choose another name with --name, or remove the old host first.",
        code="host_name_taken",
    )


def _unknown(id: str) -> NotFoundError:
    return NotFoundError(
        f"There is no host '{id[:100]}'.", hint="`cybercorp hosts` lists them all.", code="host_not_found"
    )
