"""Passkeys: begun here, used on a page in the browser, ended here with the code that the page shows."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit, urlunsplit

from cybercorp.client.calls import Caller, complete
from cybercorp.core.errors import InvalidInputError, MalformedMessageError
from cybercorp.protocol.logins import Account, ClientType, Tokens
from cybercorp.protocol.mfa import NewFactor, RecoveryCodes
from cybercorp.protocol.passkeys import Ceremony, CeremonyCode, PasskeyLogin

_LOGIN, _STEP_UP, _MFA = "/api/v1/login/passkey", "/api/v1/account/step-up/passkey", "/api/v1/mfa/passkeys"
STEP_UP_FINISH = f"{_STEP_UP}/finish"


def page_of(url: str, ceremony: Ceremony) -> str:
    """The address to open in a browser. Raises InvalidInputError (`passkey_site`) for a server known by a number.

    It is shown on a terminal and given to a browser: raises MalformedMessageError for a ticket that is no plain word.
    """
    if not ceremony.ticket.isascii() or not ceremony.ticket.replace("_", "").isalnum():
        raise MalformedMessageError("The server's answer holds no link.", hint="Check that it is a CyberCorp server.")
    parts = urlsplit(url)
    name, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    try:
        if not ipaddress.ip_address(name).is_loopback:
            raise InvalidInputError(
                f"A passkey belongs to a name, and {name} is a number.",
                hint="Log in by a name of the server's certificate: cybercorp login https://NAME:PORT --passkey",
                code="passkey_site",
            )
        name = "localhost"
    except ValueError:  # it is a name
        pass
    return urlunsplit((parts.scheme, f"{name}{port}", "/passkey", "", ceremony.ticket))


def answer_to(ceremony: Ceremony, code: str) -> CeremonyCode:
    """What ends a ceremony: the code that the page showed."""
    return CeremonyCode(ticket=ceremony.ticket, secret=ceremony.secret, code=code)


class AsyncPasskeys:
    """`client.passkeys`. Each `begin…` gives what `page_of` makes an address of; its `finish…` takes the code."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def begin_login(self, client: ClientType = ClientType.LIBRARY) -> Ceremony:
        """A log-in of whoever the passkey will say."""
        return await self._caller.call("POST", _LOGIN, Ceremony, body=PasskeyLogin(client=client), token="")

    async def finish_login(self, ceremony: Ceremony, code: str) -> Tokens:
        """The session. Raises InvalidInputError (`wrong_code`) and NotFoundError (`ceremony_over`)."""
        body = answer_to(ceremony, code)
        return await self._caller.call("POST", f"{_LOGIN}/finish", Tokens, body=body, token="")

    async def begin_step_up(self) -> Ceremony:
        """Proof that it is still you."""
        return await self._caller.call("POST", _STEP_UP, Ceremony)

    async def finish_step_up(self, ceremony: Ceremony, code: str) -> Account:
        """It holds for five minutes. Raises as `finish_login` does."""
        return await self._caller.call("POST", STEP_UP_FINISH, Account, body=answer_to(ceremony, code))

    async def begin_registration(self, name: str = "") -> Ceremony:
        """A new passkey of yours."""
        return await self._caller.call("POST", _MFA, Ceremony, body=NewFactor(name=name))

    async def finish_registration(self, ceremony: Ceremony, code: str) -> RecoveryCodes:
        """It counts from now on. Raises as `finish_login` does."""
        return await self._caller.call("POST", f"{_MFA}/finish", RecoveryCodes, body=answer_to(ceremony, code))


class Passkeys:
    """`AsyncPasskeys` without await."""

    def __init__(self, passkeys: AsyncPasskeys) -> None:
        self._passkeys = passkeys

    def begin_login(self, client: ClientType = ClientType.LIBRARY) -> Ceremony:
        """See `AsyncPasskeys.begin_login`."""
        return complete(self._passkeys.begin_login(client))

    def finish_login(self, ceremony: Ceremony, code: str) -> Tokens:
        """See `AsyncPasskeys.finish_login`."""
        return complete(self._passkeys.finish_login(ceremony, code))

    def begin_step_up(self) -> Ceremony:
        """See `AsyncPasskeys.begin_step_up`."""
        return complete(self._passkeys.begin_step_up())

    def finish_step_up(self, ceremony: Ceremony, code: str) -> Account:
        """See `AsyncPasskeys.finish_step_up`."""
        return complete(self._passkeys.finish_step_up(ceremony, code))

    def begin_registration(self, name: str = "") -> Ceremony:
        """See `AsyncPasskeys.begin_registration`."""
        return complete(self._passkeys.begin_registration(name))

    def finish_registration(self, ceremony: Ceremony, code: str) -> RecoveryCodes:
        """See `AsyncPasskeys.finish_registration`."""
        return complete(self._passkeys.finish_registration(ceremony, code))
