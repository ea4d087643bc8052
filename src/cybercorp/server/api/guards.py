"""Access to the REST interface: every route declares a permission, and nothing without one is served."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Request
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from cybercorp.core.errors import ForbiddenError, InternalError
from cybercorp.protocol.permissions import Permission
from cybercorp.server.audit_trail import intend_change
from cybercorp.server.bearer import basic_password, bearer_token
from cybercorp.server.networks import network_key
from cybercorp.server.services.access import is_local, unauthenticated
from cybercorp.server.services.limits import Rule
from cybercorp.server.services.principals import Principal, PrincipalKind
from cybercorp.server.wiring import Services

ANONYMOUS = "anonymous"
REQUESTS = Rule("requests", 3000, 60, "requests of this account from this network")
ANONYMOUS_REQUESTS = Rule("requests.anonymous", 600, 60, "requests from this network")
Connection = ASGIConnection[Any, Any, Any, Any]


def check_permissions(app: Litestar) -> None:
    """Raises InternalError where a route or a socket declares no permission: the server does not start with it."""
    for route in app.routes:
        handlers = getattr(route, "route_handlers", None) or [getattr(route, "route_handler", None)]
        for handler in handlers:
            if getattr(handler, "http_methods", None) == {"OPTIONS"}:
                continue  # made by the framework: tells the methods of a route, nothing else
            wanted = handler.opt.get("permission") if handler is not None else None
            if wanted != ANONYMOUS and not isinstance(wanted, Permission):
                raise InternalError(f"The route {route.path} declares no permission.", hint="This is a bug of ours.")


async def require_permission(connection: Connection, handler: BaseRouteHandler) -> None:
    """Raises UnauthenticatedError, ForbiddenError, and InternalError for a route that declares nothing."""
    wanted = handler.opt.get("permission")
    if wanted == ANONYMOUS and str(connection.scope["type"]) == "http":
        await _count_anonymous(connection)
    if wanted == ANONYMOUS or str(connection.scope["type"]) == "websocket":
        return  # sockets are admitted in websocket/connection.py, where a refusal can be explained
    listing = connection.scope.get("method") == "OPTIONS"  # Litestar's own answer: the methods of a route
    if not isinstance(wanted, Permission) and not listing:
        raise InternalError("A route declares no permission.", hint="This is a bug; please report it.")
    header = connection.headers.get("authorization")
    token = bearer_token(header)
    if token is None and handler.opt.get("browser"):
        token = basic_password(header)
    services: Services = connection.app.state.services
    principal = await services.access.authenticate(token, network_of(connection))
    connection.scope["user"] = principal
    if principal.kind in (PrincipalKind.USER, PrincipalKind.SERVICE):
        await services.limits.take(REQUESTS, principal.token_id or principal.id, principal.network)
    if isinstance(wanted, Permission):
        principal.require(wanted)
    _check_looking(connection, handler, principal)
    await intend_change(services, connection.scope, handler, principal)


def _check_looking(connection: Connection, handler: BaseRouteHandler, principal: Principal) -> None:
    """Raises ForbiddenError (`looks_only`) where a wallboard would change something, be it of its own account."""
    changes = handler.opt.get("audit") and connection.scope.get("method") not in ("GET", "HEAD", "OPTIONS")
    if principal.looks_only and changes and not handler.opt.get("wallboard"):
        raise ForbiddenError(
            "A wallboard may only look.", hint="Log in without --wallboard to change something.", code="looks_only"
        )


async def _count_anonymous(connection: Connection) -> None:
    """Nobody shows who they are here: counted by network, but for this machine and probes of health."""
    network, path = network_of(connection), str(connection.scope.get("path", ""))
    if not is_local(network) and not path.startswith("/health/"):
        services: Services = connection.app.state.services
        await services.limits.take(ANONYMOUS_REQUESTS, network)


def network_of(connection: Connection) -> str:
    """Where a request came from, as it is counted: an address, of IPv6 the /64."""
    client = connection.scope.get("client")
    return network_key(client[0]) if client else ""


def principal_of(request: Request[Any, Any, Any]) -> Principal:
    """Whoever sent this request, as the guard found them: the dependency `principal` of handlers.

    Raises UnauthenticatedError where the route is anonymous.
    """
    found = request.scope.get("user")
    if not isinstance(found, Principal):
        raise unauthenticated("No token was sent.")
    return found
