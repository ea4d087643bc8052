"""REST: sessions."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.sessions import Session
from cybercorp.server.api.responses import problems
from cybercorp.server.audit_trail import BY_ITSELF
from cybercorp.server.services.principals import Principal
from cybercorp.server.wiring import Services


class SessionController(Controller):
    """Sessions: where somebody is logged in."""

    path = "/api/v1/sessions"
    tags = ["sessions"]  # noqa: RUF012 - Litestar declares it on the instance

    @get("/", summary="List sessions", opt={"permission": Permission.ACCOUNT_USE}, responses=problems(404))
    async def list_sessions(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        user: Annotated[
            str | None, QueryParameter(max_length=300, description="Of this user, or * for all; absent: your own.")
        ] = None,
    ) -> list[Session]:
        """Your own; those of others with users:view."""
        if user is None:
            return await services.sessions.list_(principal.id, principal.session_id)
        principal.require(Permission.USERS_VIEW)
        chosen = None if user == "*" else (await services.users.get(user)).id
        return await services.sessions.list_(chosen, principal.session_id)

    @delete(
        "/{session:str}",
        summary="End a session",
        opt={"permission": Permission.ACCOUNT_USE, "audit": BY_ITSELF, "wallboard": True},
        responses=problems(404, 503),
    )
    async def end_session(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], session: FromPath[str]
    ) -> None:
        """Your own; those of others with users:admin. Its tokens and sockets end with it."""
        await services.sessions.revoke(principal, session)
