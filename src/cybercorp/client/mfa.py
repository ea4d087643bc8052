"""One's own second factors."""

from __future__ import annotations

from cybercorp.client.calls import Caller, complete, segment
from cybercorp.protocol.mfa import Factors, NewFactor, RecoveryCodes, TotpConfirmation, TotpSetup

_PATH = "/api/v1/mfa"


class AsyncMfa:
    """Authenticator apps and recovery codes: `client.mfa`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def show(self) -> Factors:
        """What is set up."""
        return await self._caller.call("GET", f"{_PATH}/", Factors)

    async def begin_totp(self, name: str = "") -> TotpSetup:
        """The secret for an app, shown once; it counts after `confirm_totp`."""
        return await self._caller.call("POST", f"{_PATH}/totp", TotpSetup, body=NewFactor(name=name))

    async def confirm_totp(self, factor: str, code: str) -> RecoveryCodes:
        """The first code. Raises InvalidInputError (`wrong_code`)."""
        path = f"{_PATH}/totp/{segment(factor)}/confirm"
        return await self._caller.call("POST", path, RecoveryCodes, body=TotpConfirmation(code=code))

    async def renew_recovery_codes(self) -> RecoveryCodes:
        """Ten new ones; the ones before are worth nothing."""
        return await self._caller.call("POST", f"{_PATH}/recovery-codes", RecoveryCodes)

    async def remove(self, factor: str) -> None:
        """Raises NotFoundError (`factor_not_found`)."""
        await self._caller.call("DELETE", f"{_PATH}/{segment(factor)}", type(None))


class Mfa:
    """`AsyncMfa` without await."""

    def __init__(self, mfa: AsyncMfa) -> None:
        self._mfa = mfa

    def show(self) -> Factors:
        """See `AsyncMfa.show`."""
        return complete(self._mfa.show())

    def begin_totp(self, name: str = "") -> TotpSetup:
        """See `AsyncMfa.begin_totp`."""
        return complete(self._mfa.begin_totp(name))

    def confirm_totp(self, factor: str, code: str) -> RecoveryCodes:
        """See `AsyncMfa.confirm_totp`."""
        return complete(self._mfa.confirm_totp(factor, code))

    def renew_recovery_codes(self) -> RecoveryCodes:
        """See `AsyncMfa.renew_recovery_codes`."""
        return complete(self._mfa.renew_recovery_codes())

    def remove(self, factor: str) -> None:
        """See `AsyncMfa.remove`."""
        complete(self._mfa.remove(factor))
