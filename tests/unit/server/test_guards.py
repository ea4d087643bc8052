"""server.api.guards: nothing is served that nobody decided about."""

import pytest
from litestar import Litestar, get

from cybercorp.core.errors import InternalError
from cybercorp.protocol.permissions import Permission
from cybercorp.server.api.guards import ANONYMOUS, check_permissions


@get("/forgotten", sync_to_thread=False)
def forgotten() -> str:
    return "secret"


@get("/declared", sync_to_thread=False, opt={"permission": Permission.HOSTS_VIEW})
def declared() -> str:
    return "guarded"


@get("/open", sync_to_thread=False, opt={"permission": ANONYMOUS})
def anyone() -> str:
    return "open on purpose"


def test_a_route_without_a_permission_stops_the_start() -> None:
    """Whoever forgets to declare who may call a route learns it before anybody can call it."""
    with pytest.raises(InternalError, match="/forgotten"):
        check_permissions(Litestar([declared, forgotten], openapi_config=None))


def test_declared_and_deliberately_anonymous_routes_pass() -> None:
    """A permission, or the word anonymous, is a decision."""
    check_permissions(Litestar([declared, anyone], openapi_config=None))
