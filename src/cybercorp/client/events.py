"""Events: what happened to hosts, agents and the server, page by page."""

from __future__ import annotations

from collections.abc import Sequence

from cybercorp.client.calls import Caller, Params, complete
from cybercorp.protocol.events import EventsPage


class AsyncEvents:
    """The event log: `client.events`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        kinds: Sequence[str] = (),
        host: str | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> EventsPage:
        """Events oldest first: those after an offset, of a span of time, of some kinds, of one host.

            page = await client.events.list(kinds=["host.disconnected"], newest=True, limit=20)

        `newest` takes the last `limit` events that match instead of the first. Continue with `after=page.next_after`.
        """
        params: Params = [
            ("after", after),
            ("before", before),
            ("since_ms", since_ms),
            ("until_ms", until_ms),
            *(("kind", kind) for kind in kinds),
            ("host", host),
            ("limit", limit),
            ("newest", newest),
        ]
        return await self._caller.call("GET", "/api/v1/events", EventsPage, params=params)


class Events:
    """`AsyncEvents` without await."""

    def __init__(self, events: AsyncEvents) -> None:
        self._events = events

    def list(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        kinds: Sequence[str] = (),
        host: str | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> EventsPage:
        """See `AsyncEvents.list`."""
        return complete(
            self._events.list(
                after=after,
                before=before,
                since_ms=since_ms,
                until_ms=until_ms,
                kinds=kinds,
                host=host,
                limit=limit,
                newest=newest,
            )
        )
