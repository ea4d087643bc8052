"""REST: one's own second factors."""

from __future__ import annotations

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from cybercorp.protocol.mfa import Factors, NewFactor, RecoveryCodes, TotpConfirmation, TotpSetup
from cybercorp.protocol.permissions import Permission
from cybercorp.server.api.responses import problems
from cybercorp.server.audit_trail import BY_ITSELF
from cybercorp.server.services.principals import Principal
from cybercorp.server.wiring import Services

_OWN = {"permission": Permission.ACCOUNT_USE, "audit": BY_ITSELF}


class MfaController(Controller):
    """Second factors: codes of an authenticator app, recovery codes."""

    path = "/api/v1/mfa"
    tags = ["mfa"]  # noqa: RUF012 - Litestar declares it on the instance

    @get("/", summary="Your second factors", opt=_OWN, responses=problems())
    async def list_factors(self, services: NamedDependency[Services], principal: NamedDependency[Principal]) -> Factors:
        """What is set up, and how many recovery codes are left."""
        return await services.mfa.list_(principal.person())

    @post("/totp", summary="Set up an authenticator app", opt=_OWN, responses=problems(409, 413, 503))
    async def begin_totp(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], data: JSONBody[NewFactor]
    ) -> TotpSetup:
        """The secret for the app, shown once; it counts after the confirmation."""
        principal.person()
        principal.require_step_up(services.clock.now_ms())
        return await services.mfa.begin_totp(principal, data.name)

    @post(
        "/totp/{factor:str}/confirm",
        summary="Confirm an authenticator app",
        opt=_OWN,
        status_code=200,
        responses=problems(404, 413, 429, 503),
    )
    async def confirm_totp(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        factor: FromPath[str],
        data: JSONBody[TotpConfirmation],
    ) -> RecoveryCodes:
        """The first code shows that the app works. With the first factor come recovery codes, shown once."""
        principal.person()
        return await services.mfa.confirm_totp(principal, factor, data.code)

    @post("/recovery-codes", summary="New recovery codes", opt=_OWN, responses=problems(409, 503))
    async def renew_recovery_codes(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal]
    ) -> RecoveryCodes:
        """Ten new ones; the ones before are worth nothing."""
        principal.person()
        principal.require_step_up(services.clock.now_ms())
        return await services.mfa.new_recovery_codes(principal)

    @delete("/{factor:str}", summary="Remove a second factor", opt=_OWN, responses=problems(404, 503))
    async def remove_factor(
        self, services: NamedDependency[Services], principal: NamedDependency[Principal], factor: FromPath[str]
    ) -> None:
        """One of your own."""
        principal.person()
        principal.require_step_up(services.clock.now_ms())
        await services.mfa.remove(principal, factor)
