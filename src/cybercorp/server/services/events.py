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
        self._waiting: list[tuple[Sequence[NewEvent], asyncio.Future[None]]] = []
        self._appending: asyncio.Task[None] | None = None
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
        """Append events; durable on return. What comes meanwhile shares the next transaction. Raises StorageError."""
        if not events:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((events, done))
        if self._appending is None:
            self._appending = asyncio.create_task(self._append_waiting())
        await done

    async def _append_waiting(self) -> None:
        """One transaction after the other until nobody waits; followers are told in the order of the log."""
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                try:
                    self.on_appended(await self._repository.append([one for events, _ in group for one in events]))
                except BaseException as error:
                    for _, done in group:
                        _fail(done, error)
                    if not isinstance(error, Exception):
                        raise
                else:
                    for _, done in group:
                        if not done.done():
                            done.set_result(None)
        finally:
            self._appending = None

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
        hosts: Sequence[LiveHost] | None = None,
    ) -> EventsPage:
        """A page of the log; with `hosts` only what is about them. Raises InvalidInputError."""
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
            host_ids=None if hosts is None else [one.id for one in hosts],
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


def _fail(done: asyncio.Future[None], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
        done.exception()  # who has gone meanwhile does not ask
