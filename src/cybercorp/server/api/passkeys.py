"""REST: passkeys, begun and ended by a terminal, used on a page in the browser."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from cybercorp.protocol.logins import Account, Tokens
from cybercorp.protocol.mfa import NewFactor, RecoveryCodes
from cybercorp.protocol.passkeys import (
    Ceremony,
    CeremonyCode,
    PasskeyAnswer,
    PasskeyCode,
    PasskeyLogin,
    PasskeyOptions,
    Ticket,
)
from cybercorp.protocol.permissions import Permission
from cybercorp.server.api.guards import ANONYMOUS, network_of
from cybercorp.server.api.responses import problems
from cybercorp.server.audit_trail import BY_ITSELF
from cybercorp.server.services.principals import Principal
from cybercorp.server.wiring import Services

_ANYBODY = {"permission": ANONYMOUS, "audit": BY_ITSELF}
_OWN = {"permission": Permission.ACCOUNT_USE, "audit": BY_ITSELF}


class PasskeyController(Controller):
    """Passkeys: a terminal begins, `/passkey#<ticket>` is opened in a browser, its code ends it in the terminal."""

    path = "/api/v1"
    tags = ["passkeys"]  # noqa: RUF012 - Litestar declares it on the instance

    @post("/login/passkey", summary="Begin a log-in", opt=_ANYBODY, responses=problems(413, 429, 503))
    async def begin_login(
        self, request: Request[Any, Any, Any], services: NamedDependency[Services], data: JSONBody[PasskeyLogin]
    ) -> Ceremony:
        """Of whoever the passkey will say."""
        return await services.passkeys.begin_login(data, network_of(request))

    @post(
        "/login/passkey/finish",
        summary="End a log-in",
        opt=_ANYBODY,
        status_code=200,
        responses=problems(401, 404, 413, 429, 503),
    )
    async def finish_login(
        self, request: Request[Any, Any, Any], services: NamedDependency[Services], data: JSONBody[CeremonyCode]
    ) -> Tokens:
        """The session, for the code that the page shows."""
        user_agent = request.headers.get("user-agent", "")
        tokens = await services.passkeys.finish_login(data, network_of(request), user_agent)
        return services.certificates.add_to(tokens)

    @post("/account/step-up/passkey", summary="Begin to prove it again", opt=_OWN, responses=problems(429, 503))
    async def begin_step_up(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal]
    ) -> Ceremony:
        """With one of your passkeys."""
        return await services.passkeys.begin_step_up(principal)

    @post(
        "/account/step-up/passkey/finish",
        summary="End proving it again",
        opt=_OWN,
        status_code=200,
        responses=problems(404, 413, 429, 503),
    )
    async def finish_step_up(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], data: JSONBody[CeremonyCode]
    ) -> Account:
        """Holds five minutes."""
        await services.passkeys.finish_step_up(principal, data)
        return await services.users.account(await services.sessions.again(principal))

    @post("/mfa/passkeys", summary="Begin to set up a passkey", opt=_OWN, responses=problems(409, 413, 429, 503))
    async def begin_registration(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], data: JSONBody[NewFactor]
    ) -> Ceremony:
        """The browser makes it."""
        principal.person()
        principal.require_step_up(services.clock.now_ms())
        return await services.passkeys.begin_registration(principal, data.name)

    @post(
        "/mfa/passkeys/finish",
        summary="End setting up a passkey",
        opt=_OWN,
        status_code=200,
        responses=problems(404, 409, 413, 429, 503),
    )
    async def finish_registration(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], data: JSONBody[CeremonyCode]
    ) -> RecoveryCodes:
        """It counts from now on. With the first factor come recovery codes, shown once."""
        return await services.passkeys.finish_registration(principal, data)

    @post(
        "/passkeys/options",
        summary="What the page needs",
        opt=_ANYBODY,
        status_code=200,
        responses=problems(404, 409, 413, 429, 503),
    )
    async def options(
        self, request: Request[Any, Any, Any], services: NamedDependency[Services], data: JSONBody[Ticket]
    ) -> PasskeyOptions:
        """For `navigator.credentials`, with a challenge that is good once. Asked by the page `/passkey`."""
        return await services.passkeys.options(data.ticket, request.headers.get("origin"), network_of(request))

    @post(
        "/passkeys/answer",
        summary="What the authenticator said",
        opt=_ANYBODY,
        status_code=200,
        responses=problems(401, 404, 409, 413, 429, 503),
    )
    async def answer(
        self, request: Request[Any, Any, Any], services: NamedDependency[Services], data: JSONBody[PasskeyAnswer]
    ) -> PasskeyCode:
        """The code for the terminal. Sent by the page `/passkey`."""
        return await services.passkeys.answer(data, network_of(request))
