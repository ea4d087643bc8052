"""REST: the server itself, and its health for probes."""

from __future__ import annotations

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.servers import Health, ServerInfo
from cybercorp.server.api.guards import ANONYMOUS
from cybercorp.server.api.responses import problems
from cybercorp.server.services.principals import Principal
from cybercorp.server.wiring import Services


class ServerController(Controller):
    """The server: version, load, storage, health."""

    tags = ["server"]  # noqa: RUF012 - Litestar declares it on the instance

    @get(
        "/api/v1/server", summary="About this server", opt={"permission": Permission.SERVER_VIEW}, responses=problems()
    )
    async def info(self, services: NamedDependency[Services], principal: NamedDependency[Principal]) -> ServerInfo:
        """Version, protocol, load and storage of the server that answers. Hosts are counted that you may see."""
        return await services.servers.info(principal.view(Permission.HOSTS_VIEW))

    @get("/health/live", summary="Is it alive", opt={"permission": ANONYMOUS}, responses=problems())
    async def live(self) -> Health:
        """Answers while the process can answer at all. Anonymous, and tells nothing else."""
        return Health(status="ok")

    @get("/health/ready", summary="Is it ready", opt={"permission": ANONYMOUS}, responses=problems())
    async def ready(self, services: NamedDependency[Services]) -> Response[Health]:
        """200 when it takes and stores samples, 503 while it starts, stops or cannot store. Anonymous."""
        health = services.servers.readiness()
        return Response(health, status_code=200 if health.status == "ok" else 503)
