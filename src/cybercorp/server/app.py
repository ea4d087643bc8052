"""The application: wires services, routes, sockets and jobs. Nothing else happens here."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Litestar, Request, Response, Router
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme

from cybercorp.core.version import VERSION
from cybercorp.protocol.problems import PROBLEM_MEDIA_TYPE
from cybercorp.protocol.servers import MAX_MESSAGE_BYTES
from cybercorp.server.api.agents import AgentController
from cybercorp.server.api.audit import AuditController
from cybercorp.server.api.certificates import CertificateController
from cybercorp.server.api.documents import DocumentController
from cybercorp.server.api.events import EventController
from cybercorp.server.api.guards import check_permissions, principal_of, require_permission
from cybercorp.server.api.hosts import HostController
from cybercorp.server.api.keys import KeyController
from cybercorp.server.api.logins import LoginController
from cybercorp.server.api.metrics import MetricController
from cybercorp.server.api.mfa import MfaController
from cybercorp.server.api.negotiation import NegotiatedResponse
from cybercorp.server.api.pages import PageController
from cybercorp.server.api.parameters import refuse_unknown_parameters
from cybercorp.server.api.passkeys import PasskeyController
from cybercorp.server.api.recordings import RecordingController
from cybercorp.server.api.roles import ElevationController, RoleController, TokenController
from cybercorp.server.api.servers import ServerController
from cybercorp.server.api.sessions import SessionController
from cybercorp.server.api.users import UserController
from cybercorp.server.audit_trail import AuditTrail, check_audit, mark_refused
from cybercorp.server.gate import Gate
from cybercorp.server.jobs.loops import Jobs
from cybercorp.server.problems import problem_of_exception
from cybercorp.server.websocket.agents import agents_socket
from cybercorp.server.websocket.viewers import viewers_socket
from cybercorp.server.wiring import Services

DESCRIPTION = (
    "See, replay and steer a whole fleet. Send the token as 'Authorization: Bearer TOKEN'; in a browser give any "
    "user name and the token as password. Times are Unix milliseconds; errors are problem details (RFC 9457) with "
    "stable codes. 'Accept: application/x-msgpack' gives the same answers in MessagePack."
)


class _Nothing(Router):
    """Takes no route: Litestar would add pages of its own under /schema, which load scripts from elsewhere."""

    def register(self, value: Any) -> list[Any]:
        return []


def make_app(services: Services) -> AuditTrail:
    """The ASGI application over these services, behind the gate, and told by the audit trail."""

    @asynccontextmanager
    async def jobs(_: Litestar) -> AsyncIterator[None]:
        running = Jobs(services)
        running.start()
        try:
            yield
        finally:
            await running.stop()

    app = Litestar(
        route_handlers=[
            HostController,
            MetricController,
            EventController,
            AgentController,
            RecordingController,
            ServerController,
            LoginController,
            SessionController,
            MfaController,
            PasskeyController,
            PageController,
            UserController,
            RoleController,
            CertificateController,
            ElevationController,
            TokenController,
            AuditController,
            KeyController,
            DocumentController,
            agents_socket,
            viewers_socket,
        ],
        guards=[require_permission],
        before_request=refuse_unknown_parameters,
        dependencies={
            "services": Provide(lambda: services, sync_to_thread=False, use_cache=True),
            "principal": Provide(principal_of, sync_to_thread=False),
        },
        exception_handlers={Exception: _answer_problem},
        lifespan=[jobs],
        openapi_config=OpenAPIConfig(
            title="CyberCorp",
            version=VERSION,
            description=DESCRIPTION,
            openapi_router=_Nothing("/schema", route_handlers=[]),
            security=[{"token": []}],
            components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
            use_handler_docstrings=True,
        ),
        request_max_body_size=MAX_MESSAGE_BYTES,
        response_class=NegotiatedResponse,
        logging_config=None,
        debug=False,
        state=None,
    )
    app.state.services = services
    check_permissions(app)
    check_audit(app)
    return AuditTrail(
        Gate(app, services.settings.host_names(), services.settings.proxies(), lambda: services.certificates.pins),
        services,
    )


def _answer_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    problem = problem_of_exception(error)
    mark_refused(request.scope, problem.code)
    headers = {}
    if problem.status == 401:
        browser = request.scope.get("path", "").startswith(("/api/docs", "/api/openapi"))
        headers["WWW-Authenticate"] = 'Basic realm="CyberCorp"' if browser else 'Bearer realm="CyberCorp"'
    if problem.status in (429, 503):
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after_s or 2)))
    allowed = getattr(error, "headers", None) or {}
    headers.update({key: value for key, value in allowed.items() if key.lower() == "allow"})
    return Response(
        msgspec.json.encode(problem), status_code=problem.status, media_type=PROBLEM_MEDIA_TYPE, headers=headers
    )
