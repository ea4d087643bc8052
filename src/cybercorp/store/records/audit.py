"""The tables of the audit trail: only appended, read in order; nothing here changes or deletes a record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, select
from sqlalchemy.exc import IntegrityError

from cybercorp.core.errors import StorageBusyError
from cybercorp.protocol.audit import (
    GENESIS,
    AuditCheckpoint,
    AuditPage,
    AuditRecord,
    Outcome,
    detail_text,
    record_hash,
)
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import AUDIT, AUDIT_CHECKPOINTS

_TRIES = 50
_BATCH = 2000


class NewRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that has no place in the chain yet."""

    time_ms: int
    operation: str
    actor_kind: str
    actor_id: str
    actor: str
    session_id: str
    network: str
    target_kind: str
    target_id: str
    target: str
    decision: str
    outcome: str
    intent: int | None
    detail: dict[str, str]


class AuditRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def append(self, new: Sequence[NewRecord]) -> list[AuditRecord]:
        """Chain them to the newest record in one transaction; durable on return. Several instances may do so at once.

        Raises StorageError; then none of them is there.
        """
        for _ in range(_TRIES):
            try:
                return await self._append(new)
            except IntegrityError:  # another instance was first: its record is the one to follow
                continue
        raise StorageBusyError("The audit trail is written by too many at once.", hint="Try again.")

    async def _append(self, new: Sequence[NewRecord]) -> list[AuditRecord]:
        async with self._connections.writing() as connection:
            newest = select(AUDIT.c.id, AUDIT.c.hash).order_by(AUDIT.c.id.desc()).limit(1)
            last = (await connection.execute(newest)).first()
            number, previous = (last[0], last[1]) if last else (0, GENESIS)
            rows, made = [], []
            for one in new:
                number += 1
                values = {"id": number, **msgspec.structs.asdict(one), "previous": previous}
                stored = {**values, "detail": detail_text(one.detail)}
                previous = record_hash(**stored)
                rows.append({**stored, "hash": previous})
                made.append(AuditRecord(**values, hash=previous))
            await connection.execute(AUDIT.insert(), rows)
        return made

    async def page(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        operations: Sequence[str] = (),
        actor: str | None = None,
        target: str | None = None,
        decision: str | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> AuditPage:
        """At most `limit` matching records, oldest first. `actor` and `target` are ids or names.

        An operation may end with `.*`. `next_after` is given where more follows.
        """
        statement = select(AUDIT).limit(limit + 1).order_by(AUDIT.c.id.desc() if newest else AUDIT.c.id)
        if after is not None:
            statement = statement.where(AUDIT.c.id > after)
        if before is not None:
            statement = statement.where(AUDIT.c.id < before)
        if since_ms is not None:
            statement = statement.where(AUDIT.c.time_ms >= since_ms)
        if until_ms is not None:
            statement = statement.where(AUDIT.c.time_ms < until_ms)
        if operations:
            chosen = [
                AUDIT.c.operation.startswith(one[:-1], autoescape=True)
                if one.endswith(".*")
                else AUDIT.c.operation == one
                for one in operations
            ]
            first, *others = chosen
            for other in others:
                first = first | other
            statement = statement.where(first)
        if actor is not None:
            statement = statement.where((AUDIT.c.actor_id == actor) | (AUDIT.c.actor == actor))
        if target is not None:
            statement = statement.where((AUDIT.c.target_id == target) | (AUDIT.c.target == target))
        if decision is not None:
            statement = statement.where(AUDIT.c.decision == decision)
        async with self._connections.reading() as connection:
            found = [_record(row) for row in await connection.execute(statement)]
        more, records = len(found) > limit, found[:limit]
        if newest:
            return AuditPage(records=records[::-1])
        return AuditPage(records=records, next_after=records[-1].id if more else None)

    async def stream(self) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """Every record as the table holds it, in order, some thousand rows at a time; see `AUDIT` for the columns."""
        after = 0
        while True:
            statement = select(AUDIT).where(AUDIT.c.id > after).order_by(AUDIT.c.id).limit(_BATCH)
            async with self._connections.reading() as connection:
                rows = await connection.run_sync(_plain, statement)
            if rows:
                yield rows
                after = rows[-1][0]
            if len(rows) < _BATCH:
                return

    async def between(self, first: int, end: int) -> AsyncIterator[list[AuditRecord]]:
        """The records from `first` to before `end`, some at a time."""
        while True:
            statement = select(AUDIT).where(AUDIT.c.id >= first, AUDIT.c.id < end).order_by(AUDIT.c.id).limit(_BATCH)
            async with self._connections.reading() as connection:
                found = [_record(row) for row in await connection.execute(statement)]
            if found:
                yield found
                first = found[-1].id + 1
            if len(found) < _BATCH:
                return

    async def open_intents(self) -> list[AuditRecord]:
        """Intents that have no outcome."""
        outcome = AUDIT.alias("outcomes")
        statement = (
            select(AUDIT)
            .outerjoin(outcome, outcome.c.intent == AUDIT.c.id)
            .where(AUDIT.c.outcome == Outcome.INTENT, outcome.c.id.is_(None))
            .order_by(AUDIT.c.id)
        )
        async with self._connections.reading() as connection:
            return [_record(row) for row in await connection.execute(statement)]

    async def last(self) -> AuditRecord | None:
        """The newest record."""
        async with self._connections.reading() as connection:
            row = (await connection.execute(select(AUDIT).order_by(AUDIT.c.id.desc()).limit(1))).first()
        return _record(row) if row else None

    async def add_checkpoint(self, checkpoint: AuditCheckpoint) -> bool:
        """Durable on return; False where another instance has made the one with this number."""
        try:
            async with self._connections.writing() as connection:
                await connection.execute(AUDIT_CHECKPOINTS.insert().values(msgspec.structs.asdict(checkpoint)))
        except IntegrityError:
            return False
        return True

    async def checkpoints(self, *, newest: int | None = None) -> list[AuditCheckpoint]:
        """All of them in order, or only so many of the newest."""
        statement = select(AUDIT_CHECKPOINTS).order_by(AUDIT_CHECKPOINTS.c.number.desc())
        if newest is not None:
            statement = statement.limit(newest)
        async with self._connections.reading() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [AuditCheckpoint(**row) for row in reversed(rows)]


def _plain(connection: Connection, statement: Select[Any]) -> Sequence[Sequence[Any]]:
    """The driver's own tuples: SQLAlchemy's rows take three times as long, and what they convert is not in here."""
    cursor = connection.execute(statement).cursor
    assert cursor is not None  # a SELECT has one
    return cursor.fetchall()


def _record(row: Row[Any]) -> AuditRecord:
    values = {str(key): value for key, value in row._mapping.items()}
    return msgspec.convert({**values, "detail": msgspec.json.decode(values["detail"])}, AuditRecord)
