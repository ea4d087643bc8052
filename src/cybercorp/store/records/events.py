"""The table of events: appended, paged, pruned; never changed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import RowMapping, or_, select
from sqlalchemy.exc import IntegrityError

from cybercorp.core.errors import ConflictError
from cybercorp.protocol.events import Event, EventsPage, Severity
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import EVENTS


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that has no id yet."""

    time_ms: int
    kind: str
    severity: Severity
    message: str
    host_id: str | None = None
    host: str | None = None
    attributes: dict[str, str] = {}


class EventRepository:
    """`epoch` names this log: ids of another epoch mean nothing here."""

    def __init__(self, connections: Connections, epoch: str) -> None:
        self._connections = connections
        self.epoch = epoch

    async def append(self, events: Sequence[NewEvent]) -> list[Event]:
        """Durable on return; the events with their ids, in the same order."""
        rows = [
            {**msgspec.structs.asdict(one), "attributes": msgspec.json.encode(one.attributes).decode()}
            for one in events
        ]
        if not rows:
            return []
        insert = EVENTS.insert().returning(EVENTS.c.id, sort_by_parameter_order=True)
        async with self._connections.writing() as connection:
            ids = (await connection.execute(insert, rows)).scalars().all()
        return [Event(id=number, **msgspec.structs.asdict(one)) for number, one in zip(ids, events, strict=True)]

    async def restore(self, events: Sequence[Event]) -> None:
        """Add events exactly as they are, ids included. Raises ConflictError where an id is taken."""
        made = [
            {**msgspec.structs.asdict(one), "attributes": msgspec.json.encode(one.attributes).decode()}
            for one in events
        ]
        try:
            async with self._connections.writing() as connection:
                await connection.execute(EVENTS.insert(), made)
        except IntegrityError as error:
            raise ConflictError("Two events have the same id.") from error

    async def page(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        kinds: Sequence[str] = (),
        host: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        limit: int = 100,
        newest: bool = False,
        host_ids: Sequence[str] | None = None,
    ) -> EventsPage:
        """At most `limit` matching events, oldest first: the oldest of the range, or with `newest` its newest.

        `after` and `before` are ids, `since_ms` is included, `until_ms` is not; `host` is an id or a name. With
        `host_ids` only events of these hosts, and none of the server.
        `next_after` is given where more follows.
        """
        statement = select(EVENTS).limit(limit + 1)
        statement = statement.order_by(EVENTS.c.id.desc() if newest else EVENTS.c.id)
        if after is not None:
            statement = statement.where(EVENTS.c.id > after)
        if before is not None:
            statement = statement.where(EVENTS.c.id < before)
        if kinds:
            statement = statement.where(EVENTS.c.kind.in_(kinds))
        if host is not None:
            statement = statement.where(or_(EVENTS.c.host_id == host, EVENTS.c.host == host))
        if host_ids is not None:
            statement = statement.where(EVENTS.c.host_id.in_(host_ids))
        if since_ms is not None:
            statement = statement.where(EVENTS.c.time_ms >= since_ms)
        if until_ms is not None:
            statement = statement.where(EVENTS.c.time_ms < until_ms)
        async with self._connections.reading() as connection:
            found = [_event(row) for row in (await connection.execute(statement)).mappings()]
        more = len(found) > limit
        events = found[:limit]
        if newest:
            return EventsPage(epoch=self.epoch, events=events[::-1])
        return EventsPage(epoch=self.epoch, events=events, next_after=events[-1].id if more and events else None)

    async def last_id(self) -> int:
        """The id of the newest event, 0 where there is none."""
        async with self._connections.reading() as connection:
            found = await connection.execute(select(EVENTS.c.id).order_by(EVENTS.c.id.desc()).limit(1))
            return found.scalar_one_or_none() or 0

    async def oldest_id(self) -> int:
        """The id of the oldest event that is kept, 0 where there is none: whoever resumes before it has missed some."""
        async with self._connections.reading() as connection:
            found = await connection.execute(select(EVENTS.c.id).order_by(EVENTS.c.id).limit(1))
            return found.scalar_one_or_none() or 0

    async def delete_before(self, time_ms: int) -> int:
        """Drop older events; returns how many."""
        async with self._connections.writing() as connection:
            return (await connection.execute(EVENTS.delete().where(EVENTS.c.time_ms < time_ms))).rowcount


def _event(row: RowMapping) -> Event:
    attributes = msgspec.json.decode(row["attributes"], type=dict[str, str])
    return Event(**{**row, "severity": Severity(row["severity"]), "attributes": attributes})
