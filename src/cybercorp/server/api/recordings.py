"""REST: recordings, sent while they are made."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.recordings import MEDIA_TYPE, SUFFIX
from cybercorp.server.api.parameters import Selectors
from cybercorp.server.api.responses import problems
from cybercorp.server.services.principals import Principal
from cybercorp.server.services.recordings import Seen
from cybercorp.server.wiring import Services

_LAST_MS = 253_402_300_800_000


class RecordingController(Controller):
    """Recordings: part of the history in one file, to be looked at elsewhere."""

    path = "/api/v1/recordings"
    tags = ["recordings"]  # noqa: RUF012 - Litestar declares it on the instance

    @get(
        "/",
        summary="Export a recording",
        opt={"permission": Permission.RECORDINGS_EXPORT, "audit": "recording.export"},
        responses=problems(404),
        media_type=MEDIA_TYPE,
    )
    async def export(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        since_ms: Annotated[int, QueryParameter(ge=0, le=_LAST_MS, description="Its first instant, Unix ms.")],
        until_ms: Annotated[int, QueryParameter(ge=0, le=_LAST_MS, description="Its last instant, Unix ms.")],
        selector: Selectors = None,
    ) -> Stream:
        """Samples, process tables and events of the chosen hosts, as far as you may see them.

        A file without its last frame is not whole.
        """
        view = principal.view(Permission.RECORDINGS_EXPORT)
        shown = services.hosts.select(selector or [], view)
        hosts = sorted(principal.view(Permission.HOSTS_VIEW).choose(shown), key=lambda host: host.name)
        seen = Seen(
            metrics=principal.view(Permission.METRICS_VIEW),
            processes=principal.view(Permission.PROCESSES_VIEW),
            events=principal.view(Permission.EVENTS_VIEW),
            server=view.everything,
        )
        manifest = services.recordings.check(hosts, since_ms, until_ms)
        return Stream(
            services.recordings.stream(manifest, hosts, seen),
            media_type=MEDIA_TYPE,
            headers={"Content-Disposition": f'attachment; filename="incident{SUFFIX}"'},
        )
