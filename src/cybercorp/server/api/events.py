"""REST: the log of events."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from cybercorp.protocol.events import EventsPage
from cybercorp.protocol.permissions import Permission
from cybercorp.server.api.responses import problems
from cybercorp.server.services.principals import Principal
from cybercorp.server.wiring import Services

_MAX = 1 << 62


class EventController(Controller):
    """Events: what happened, when, to whom."""

    path = "/api/v1/events"
    tags = ["events"]  # noqa: RUF012 - Litestar declares it on the instance

    @get("/", summary="Page through events", opt={"permission": Permission.EVENTS_VIEW}, responses=problems())
    async def list_events(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        after: Annotated[int | None, QueryParameter(ge=0, le=_MAX, description="Only events after this id.")] = None,
        before: Annotated[int | None, QueryParameter(ge=0, le=_MAX, description="Only events before this id.")] = None,
        since_ms: Annotated[
            int | None, QueryParameter(ge=0, le=_MAX, description="Not before this time, Unix milliseconds.")
        ] = None,
        until_ms: Annotated[
            int | None, QueryParameter(ge=0, le=_MAX, description="Before this time, Unix milliseconds.")
        ] = None,
        kind: Annotated[
            list[str] | None, QueryParameter(max_items=50, description="Only these kinds, such as host.joined.")
        ] = None,
        host: Annotated[str | None, QueryParameter(max_length=300, description="Only of this host.")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=1000, description="How many events to answer.")] = 100,
        newest: Annotated[bool, QueryParameter(description="The newest of the range instead of its oldest.")] = False,
    ) -> EventsPage:
        """Events oldest first; `next_after` continues the list."""
        view = principal.view(Permission.EVENTS_VIEW)
        return await services.events.page(
            after=after,
            before=before,
            kinds=kind or (),
            host=host,
            since_ms=since_ms,
            until_ms=until_ms,
            limit=limit,
            newest=newest,
            hosts=None if view.everything else view.choose(services.fleet.hosts),
        )
