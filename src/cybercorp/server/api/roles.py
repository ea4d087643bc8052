"""REST: roles, bindings, elevations, tokens of programs."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.roles import (
    ApiToken,
    ApiTokenSecret,
    Binding,
    Elevation,
    ElevationDecision,
    NewApiToken,
    NewBinding,
    NewElevation,
    NewRole,
    Role,
)
from cybercorp.server.api.responses import problems
from cybercorp.server.audit_trail import BY_ITSELF
from cybercorp.server.services.principals import Principal
from cybercorp.server.wiring import Services

_ADMIN = {"permission": Permission.ROLES_ADMIN, "audit": BY_ITSELF}
_OWN = {"permission": Permission.ACCOUNT_USE, "audit": BY_ITSELF}
_TOKENS = {"permission": Permission.TOKENS_CREATE, "audit": BY_ITSELF}
User = Annotated[str | None, QueryParameter(max_length=300, description="Only of this user.")]


class RoleController(Controller):
    """Roles: sets of permissions; bindings give them to users, on the hosts of a scope."""

    path = "/api/v1"
    tags = ["roles"]  # noqa: RUF012 - Litestar declares it on the instance

    @get("/roles", summary="List roles", opt={"permission": Permission.ROLES_VIEW}, responses=problems())
    async def list_roles(self, services: NamedDependency[Services]) -> list[Role]:
        """Those that ship, then those that were made here."""
        return await services.roles.list_()

    @post("/roles", summary="Make a role", opt=_ADMIN, responses=problems(409, 413, 503))
    async def create_role(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], data: JSONBody[NewRole]
    ) -> Role:
        """Nobody makes one that holds more than they have."""
        principal.require_step_up(services.clock.now_ms())
        return await services.roles.create(principal, data)

    @delete("/roles/{role:str}", summary="Remove a role", opt=_ADMIN, responses=problems(404, 409, 503))
    async def remove_role(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], role: FromPath[str]
    ) -> None:
        """One that nobody is bound to."""
        principal.require_step_up(services.clock.now_ms())
        await services.roles.remove(principal, role)

    @get("/bindings", summary="List bindings", opt={"permission": Permission.ROLES_VIEW}, responses=problems(404))
    async def list_bindings(self, services: NamedDependency[Services], user: User = None) -> list[Binding]:
        """Who has which role, on which hosts, until when."""
        return await services.roles.list_bindings(user)

    @post("/bindings", summary="Bind a user to a role", opt=_ADMIN, responses=problems(404, 409, 413, 503))
    async def create_binding(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], data: JSONBody[NewBinding]
    ) -> Binding:
        """On the hosts of a scope (labels), for a while or until it is removed; or deny it, which wins."""
        principal.require_step_up(services.clock.now_ms())
        return await services.roles.bind(principal, data)

    @delete("/bindings/{binding:str}", summary="Remove a binding", opt=_ADMIN, responses=problems(404, 409, 503))
    async def remove_binding(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], binding: FromPath[str]
    ) -> None:
        """It ends at once, also for sockets that are open."""
        principal.require_step_up(services.clock.now_ms())
        await services.roles.unbind(principal, binding)


class ElevationController(Controller):
    """Elevations: a role for a while, asked for by one person and decided by another."""

    path = "/api/v1/elevations"
    tags = ["roles"]  # noqa: RUF012 - Litestar declares it on the instance

    @get("/", summary="List elevations", opt={"permission": Permission.ACCOUNT_USE}, responses=problems())
    async def list_elevations(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal]
    ) -> list[Elevation]:
        """Your own; with roles:view those of all."""
        return await services.elevations.list_(principal)

    @post("/", summary="Ask for a role", opt=_OWN, responses=problems(409, 413, 503))
    async def request(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], data: JSONBody[NewElevation]
    ) -> Elevation:
        """Up to twelve hours, with a reason for whoever decides."""
        return await services.elevations.request(principal, data)

    @post(
        "/{elevation:str}/decision",
        summary="Decide on an elevation",
        opt=_ADMIN,
        status_code=200,
        responses=problems(404, 409, 413, 503),
    )
    async def decide(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        elevation: FromPath[str],
        data: JSONBody[ElevationDecision],
    ) -> Elevation:
        """Never on your own. It begins at once and ends by itself."""
        principal.require_step_up(services.clock.now_ms())
        return await services.elevations.decide(principal, elevation, approve=data.approve)

    @delete("/{elevation:str}", summary="Cancel an elevation", opt=_OWN, responses=problems(404, 503))
    async def cancel(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], elevation: FromPath[str]
    ) -> None:
        """Your request, or the role you were given: it ends now."""
        await services.elevations.cancel(principal, elevation)


class TokenController(Controller):
    """Tokens of programs: what scripts and service accounts show."""

    path = "/api/v1/tokens"
    tags = ["tokens"]  # noqa: RUF012 - Litestar declares it on the instance

    @get("/", summary="List tokens", opt={"permission": Permission.ACCOUNT_USE}, responses=problems(404))
    async def list_tokens(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        user: Annotated[
            str | None, QueryParameter(max_length=300, description="Of this user, or * for all; absent: your own.")
        ] = None,
    ) -> list[ApiToken]:
        """What they may and until when; the tokens themselves are nowhere."""
        return await services.api_tokens.list_(principal, user)

    @post("/", summary="Make a token", opt=_TOKENS, responses=problems(404, 409, 413, 503))
    async def create_token(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], data: JSONBody[NewApiToken]
    ) -> ApiTokenSecret:
        """Shown once. It never may more than its owner may at the time."""
        principal.require_step_up(services.clock.now_ms())
        return await services.api_tokens.create(principal, data)

    @delete("/{token:str}", summary="Revoke a token", opt=_OWN, responses=problems(404, 503))
    async def revoke_token(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], token: FromPath[str]
    ) -> None:
        """It is worth nothing from now on."""
        await services.api_tokens.revoke(principal, token)
