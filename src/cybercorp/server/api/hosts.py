"""REST: hosts and the fleet."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from cybercorp.protocol.hosts import Host, HostChange, HostSort, HostsWindow
from cybercorp.protocol.metrics import HostLatest
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.processes import HostProcesses, ProcessEvents
from cybercorp.server.api.parameters import AtMs, Selectors
from cybercorp.server.api.responses import problems
from cybercorp.server.services.principals import Principal
from cybercorp.server.services.process_events import MAX_EVENTS
from cybercorp.server.wiring import Services

MAX_HOSTS = 10_000
_MAX_MS = 253_402_300_800_000
Offset = Annotated[int, QueryParameter(ge=0, le=1_000_000, description="How many rows to leave out.")]
Limit = Annotated[int, QueryParameter(ge=0, le=1000, description="How many rows to answer.")]


class HostController(Controller):
    """Hosts: what they are, what they say now, which processes they run."""

    path = "/api/v1"
    tags = ["hosts"]  # noqa: RUF012 - Litestar declares it on the instance

    @get("/hosts", summary="List hosts", opt={"permission": Permission.HOSTS_VIEW}, responses=problems(404))
    async def list_hosts(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        selector: Selectors = None,
        sort: Annotated[HostSort, QueryParameter(description="The column to sort by.")] = HostSort.NAME,
        descending: Annotated[bool, QueryParameter(description="Largest first.")] = False,
        offset: Offset = 0,
        limit: Annotated[int, QueryParameter(ge=0, le=MAX_HOSTS, description="How many hosts to answer.")] = MAX_HOSTS,
    ) -> list[Host]:
        """Hosts with their facts, labels and newest summary. An unknown plain name is an error."""
        return services.hosts.list_(
            selector or [], principal.view(Permission.HOSTS_VIEW), sort, descending, offset, limit
        )

    @get("/fleet", summary="A window of the fleet", opt={"permission": Permission.HOSTS_VIEW}, responses=problems())
    async def fleet_window(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        selector: Annotated[str | None, QueryParameter(max_length=500, description="Which hosts.")] = None,
        sort: Annotated[HostSort, QueryParameter(description="The column to sort by.")] = HostSort.NAME,
        descending: Annotated[bool, QueryParameter(description="Largest first.")] = False,
        offset: Offset = 0,
        limit: Limit = 100,
        pinned: Annotated[
            str | None, QueryParameter(max_length=300, description="A host id whose row and rank come along.")
        ] = None,
        at_ms: AtMs = None,
    ) -> HostsWindow:
        """Summaries in order, with counts: now, or as it was at an instant."""
        view = principal.view(Permission.HOSTS_VIEW)
        if at_ms is None:
            return services.windows.now(view).window(
                selector or "", sort, descending, offset=offset, limit=limit, pinned=pinned
            )
        return await services.replay.window(
            at_ms, selector or "", sort, descending, offset=offset, limit=limit, pinned=pinned, view=view
        )

    @get("/hosts/{host:str}", summary="One host", opt={"permission": Permission.HOSTS_VIEW}, responses=problems(404))
    async def get_host(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], host: FromPath[str]
    ) -> Host:
        """A host by its name or id."""
        view = principal.view(Permission.HOSTS_VIEW)
        return services.hosts.told(services.hosts.get(host, view), view)

    @patch(
        "/hosts/{host:str}",
        summary="Label or rename a host",
        opt={"permission": Permission.HOSTS_EDIT, "audit": "host.change"},
        responses=problems(404, 409, 413, 503),
    )
    async def change_host(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        host: FromPath[str],
        data: JSONBody[HostChange],
    ) -> Host:
        """Set labels (null removes one), give another name. What is absent stays."""
        changed = await services.hosts.change(host, data, principal)
        services.live.recheck()
        return changed

    @delete(
        "/hosts/{host:str}",
        summary="Remove a host",
        opt={"permission": Permission.HOSTS_EDIT, "audit": "host.remove"},
        responses=problems(404, 503),
    )
    async def remove_host(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], host: FromPath[str]
    ) -> None:
        """Forget a host, its tokens and its history. Its agent is disconnected and must join anew."""
        await services.remove_host(host, principal)

    @post(
        "/hosts/{host:str}/approve",
        summary="Approve a host",
        opt={"permission": Permission.AGENT_ADMIN, "audit": "host.approve"},
        status_code=200,
        responses=problems(404, 409, 503),
    )
    async def approve_host(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], host: FromPath[str]
    ) -> Host:
        """Let a host send that waits for approval, or that was locked because its key was seen in two places."""
        return await services.hosts.approve(host, principal)

    @post(
        "/hosts/{host:str}/retire",
        summary="Retire a host",
        opt={"permission": Permission.AGENT_ADMIN, "audit": "host.retire"},
        status_code=200,
        responses=problems(404, 503),
    )
    async def retire_host(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], host: FromPath[str]
    ) -> Host:
        """Its agent is disconnected and never returns; its history stays."""
        return await services.hosts.retire(host, principal)

    @get(
        "/hosts/{host:str}/latest",
        summary="Newest values of a host",
        opt={"permission": Permission.METRICS_VIEW},
        responses=problems(404),
    )
    async def latest(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        host: FromPath[str],
        at_ms: AtMs = None,
    ) -> HostLatest:
        """The newest value of every series, or those of an instant."""
        found = services.hosts.get(host, principal.view(Permission.METRICS_VIEW))
        return await services.metrics.latest(found, at_ms)

    @get(
        "/hosts/{host:str}/processes",
        summary="Processes of a host",
        opt={"permission": Permission.PROCESSES_VIEW},
        responses=problems(404),
    )
    async def processes(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        host: FromPath[str],
        at_ms: AtMs = None,
    ) -> HostProcesses:
        """All processes now, asked of the agent; or the busiest that were recorded before an instant."""
        found = services.hosts.get(host, principal.view(Permission.PROCESSES_VIEW))
        return await (services.processes.now(found) if at_ms is None else services.processes.at(found, at_ms))

    @get(
        "/hosts/{host:str}/processes/events",
        summary="Starts and exits of processes",
        opt={"permission": Permission.PROCESSES_VIEW},
        responses=problems(404),
    )
    async def process_events(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        host: FromPath[str],
        since_ms: Annotated[
            int | None,
            QueryParameter(ge=0, le=_MAX_MS, description="Not before this time, Unix ms; absent: an hour ago."),
        ] = None,
        until_ms: Annotated[
            int | None,
            QueryParameter(ge=0, le=_MAX_MS, description="Before this time, Unix ms; absent: now."),
        ] = None,
        name: Annotated[
            str | None, QueryParameter(max_length=200, description="Only processes with this in name or command.")
        ] = None,
        limit: Annotated[
            int, QueryParameter(ge=1, le=MAX_EVENTS, description="How many events to answer, the oldest first.")
        ] = 1000,
    ) -> ProcessEvents:
        """Which processes began and ended, as the tables recorded every ten seconds tell it; at most a week at once."""
        found = services.hosts.get(host, principal.view(Permission.PROCESSES_VIEW))
        end_ms = services.clock.now_ms() if until_ms is None else until_ms
        start_ms = max(0, end_ms - 3_600_000) if since_ms is None else since_ms
        return await services.process_events.list_(found, start_ms, end_ms, limit, name)
