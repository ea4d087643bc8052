"""Events: appended durably, handed to those who follow, paged for those who ask."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from cybercorp.core.clock import Clock
from cybercorp.core.errors import InvalidInputError, StorageError
from cybercorp.protocol.events import Event, EventKind, EventsPage, Severity
from cybercorp.server.services.fleet import LiveHost
from cybercorp.store.records.events import EventRepository, NewEvent

MAX_PAGE = 1_000
MAX_RESUMED = 5_000
_LOG = logging.getLogger("cybercorp.events")


class EventService:
    """`on_appended` is called in the event loop with every batch, after it is durable."""

    def __init__(self, repository: EventRepository, clock: Clock) -> None:
        self._repository = repository
        self._clock = clock
        self._appending = asyncio.Lock()
        self.on_appended: Callable[[list[Event]], None] = lambda events: None

    @property
    def epoch(self) -> str:
        return self._repository.epoch

    async def note(
        self,
        kind: EventKind,
        message: str,
        *,
        severity: Severity = Severity.INFO,
        host_id: str | None = None,
        host: str | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Append one event that happened now."""
        made = NewEvent(
            time_ms=self._clock.now_ms(),
            kind=kind,
            severity=severity,
            message=message,
            host_id=host_id,
            host=host,
            attributes=dict(attributes or {}),
        )
        await self.append([made])

    async def note_host(
        self, kind: EventKind, host: LiveHost, message: str, *, severity: Severity = Severity.INFO
    ) -> None:
        """Append an event about a host, where that can be stored: a full disk must not end a connection."""
        try:
            await self.note(kind, message, severity=severity, host_id=host.id, host=host.name)
        except StorageError as error:
            _LOG.warning("an event was not stored: %s %s", message, error)

    async def append(self, events: Sequence[NewEvent]) -> None:
        """Append events; durable on return."""
        if events:
            async with self._appending:  # followers are told in the order of the log
                self.on_appended(await self._repository.append(events))

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
    ) -> EventsPage:
        """A page of the log. Raises InvalidInputError."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidInputError(f"The limit is {limit}.", hint=f"Ask for 1 to {MAX_PAGE} events at a time.")
        return await self._repository.page(
            after=after,
            before=before,
            kinds=kinds,
            host=host,
            since_ms=since_ms,
            until_ms=until_ms,
            limit=limit,
            newest=newest,
        )

    async def resume(self, after: int | None, epoch: str | None) -> tuple[list[Event], int, bool]:
        """What a follower missed: (events, the offset they follow, whether nothing is missing)."""
        last = await self._repository.last_id()
        if after is None:
            return [], last, True
        oldest = await self._repository.oldest_id()
        if (epoch is not None and epoch != self.epoch) or after > last or last - after > MAX_RESUMED:
            return [], last, False
        whole = after >= oldest - 1 or last == 0
        events: list[Event] = []
        position = after
        while True:
            page = await self._repository.page(after=position, limit=MAX_PAGE)
            events.extend(page.events)
            if page.next_after is None:
                return events, after, whole
            position = page.next_after
