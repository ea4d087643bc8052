"""REST: log in, renew, log out, and one's own account."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from cybercorp.protocol.logins import Account, Login, PasswordChange, Refresh, StepUp, Tokens
from cybercorp.protocol.permissions import Permission
from cybercorp.server.api.guards import ANONYMOUS, network_of
from cybercorp.server.api.responses import problems
from cybercorp.server.audit_trail import BY_ITSELF
from cybercorp.server.services.principals import Principal
from cybercorp.server.wiring import Services


class LoginController(Controller):
    """Log in with name, password and a second factor; renew the session; log out."""

    path = "/api/v1"
    tags = ["logins"]  # noqa: RUF012 - Litestar declares it on the instance

    @post(
        "/login",
        summary="Log in",
        opt={"permission": ANONYMOUS, "audit": BY_ITSELF},
        status_code=200,
        responses=problems(401, 413, 429, 503),
    )
    async def login(
        self, request: Request[Any, Any, Any], services: NamedDependency[Services], data: JSONBody[Login]
    ) -> Tokens:
        """Begin a session. The problem `mfa_needed` (401) asks for the same again with a `code`."""
        tokens = await services.logins.login(data, network_of(request), request.headers.get("user-agent", ""))
        return services.certificates.add_to(tokens)

    @post(
        "/login/refresh",
        summary="Renew a session",
        opt={"permission": ANONYMOUS, "audit": BY_ITSELF},
        status_code=200,
        responses=problems(401, 413, 429, 503),
    )
    async def refresh(
        self, request: Request[Any, Any, Any], services: NamedDependency[Services], data: JSONBody[Refresh]
    ) -> Tokens:
        """A new access token and the next refresh token. One that was used before ends the session."""
        user_agent = request.headers.get("user-agent", "")
        tokens = await services.sessions.refresh(data.refresh_token, network_of(request), user_agent)
        return services.certificates.add_to(tokens)

    @post(
        "/logout",
        summary="Log out",
        opt={"permission": Permission.ACCOUNT_USE, "audit": BY_ITSELF, "wallboard": True},
        status_code=204,
        responses=problems(503),
    )
    async def logout(self, services: NamedDependency[Services], principal: NamedDependency[Principal]) -> None:
        """End the session that this access token belongs to."""
        await services.logins.logout(principal)

    @get("/account", summary="Who am I", opt={"permission": Permission.ACCOUNT_USE}, responses=problems())
    async def account(self, services: NamedDependency[Services], principal: NamedDependency[Principal]) -> Account:
        """Who this token speaks for, how that was proven, and what it may."""
        return await services.users.account(principal)

    @post(
        "/account/step-up",
        summary="Prove again who you are",
        opt={"permission": Permission.ACCOUNT_USE, "audit": BY_ITSELF},
        status_code=200,
        responses=problems(413, 429, 503),
    )
    async def step_up(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], data: JSONBody[StepUp]
    ) -> Account:
        """Needed before what is dangerous; holds five minutes."""
        await services.logins.step_up(principal, data)
        return await services.users.account(await services.sessions.again(principal))

    @post(
        "/account/password",
        summary="Change your password",
        opt={"permission": Permission.ACCOUNT_USE, "audit": BY_ITSELF},
        status_code=204,
        responses=problems(413, 429, 503),
    )
    async def change_password(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], data: JSONBody[PasswordChange]
    ) -> None:
        """Ends all other sessions of the account."""
        await services.logins.change_password(principal, data)
