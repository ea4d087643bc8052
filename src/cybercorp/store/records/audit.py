"""The tables of the audit trail: only appended, read in order; nothing here changes or deletes a record."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, select
from sqlalchemy.exc import IntegrityError

from cybercorp.core.errors import StorageBusyError
from cybercorp.protocol.audit import GENESIS, AuditCheckpoint, AuditPage, AuditRecord, Outcome
from cybercorp.protocol.audit_lines import detail_text, record_hash
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import AUDIT, AUDIT_CHECKPOINTS

_TRIES = 50
_BATCH = 2000
_CACHED = 250
_BEFORE_ALL = -(1 << 63)  # nobody hides a record under a number below the first
_PART = "SELECT * FROM audit WHERE id > ? ORDER BY id LIMIT 50000"
Rows = Sequence[Sequence[Any]]


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
                values["detail"] = dict(sorted(one.detail.items()))  # as it is hashed
                stored = {**values, "detail": detail_text(one.detail)}
                previous = record_hash(tuple(stored.values()))
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

    async def scan(self, take: Callable[[Rows], bool]) -> None:
        """Give every record to `take` as the table holds it, in order, until it returns False. It runs in a thread.

        A row is its values in the order of the columns of `AUDIT`.
        """
        if isinstance(self._connections.where, Path):
            await self._scan_file(take)
            return
        after = _BEFORE_ALL
        while True:
            statement = select(AUDIT).where(AUDIT.c.id > after).order_by(AUDIT.c.id).limit(_BATCH)
            async with self._connections.reading() as connection:
                rows = await connection.run_sync(_plain, statement)
            if not rows or not await asyncio.to_thread(take, rows):
                return
            after = rows[-1][0]

    async def _scan_file(self, take: Callable[[Rows], bool]) -> None:
        """Read and taken by one thread in small batches, which stay in its cache: that is twice as fast."""
        after: int | None = _BEFORE_ALL
        while after is not None:  # a thread is not interrupted, and a reader keeps the log from being cut
            after = await asyncio.to_thread(self._scan_part, after, take)

    def _scan_part(self, after: int, take: Callable[[Rows], bool]) -> int | None:
        """Some of the records behind `after`; the last one, None after the end or where nothing more is wanted."""
        last = after
        with self._connections.reading_file() as connection:
            try:
                cursor = connection.execute(_PART, (last,))
                while rows := cursor.fetchmany(_CACHED):
                    if not take(rows):
                        return None
                    last = rows[-1][0]
            except sqlite3.OperationalError as error:
                if "decode" not in str(error):
                    raise
                # Somebody put bytes there that are no text. What stands for them is in no record.
                connection.text_factory = lambda data: data.decode(errors="surrogateescape")
                rows = connection.execute(_PART, (last,)).fetchmany(_CACHED)
                return rows[-1][0] if take(rows) else None
        return last if last != after else None

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


def _plain(connection: Connection, statement: Select[Any]) -> Rows:
    """The driver's own tuples: SQLAlchemy's rows take three times as long, and what they convert is not in here."""
    cursor = connection.execute(statement).cursor
    assert cursor is not None  # a SELECT has one
    return cursor.fetchall()


def _record(row: Row[Any]) -> AuditRecord:
    values = {str(key): value for key, value in row._mapping.items()}
    return msgspec.convert({**values, "detail": msgspec.json.decode(values["detail"])}, AuditRecord)
