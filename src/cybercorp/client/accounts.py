"""One's own account: log in and out, who am I, prove it again, the password."""

from __future__ import annotations

import contextlib

from cybercorp.client.calls import Caller, complete, segment
from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.logins import Account, ClientType, Login, PasswordChange, StepUp, Tokens


class AsyncAccount:
    """Whoever the client speaks for: `client.account`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def show(self) -> Account:
        """Who this is and what they may: `(await client.account.show()).permissions`."""
        return await self._caller.call("GET", "/api/v1/account", Account)

    async def login(
        self, name: str, password: str, code: str | None = None, client: ClientType = ClientType.LIBRARY
    ) -> Tokens:
        """Begin a session. Raises UnauthenticatedError (`wrong_credentials`, `mfa_needed`, `wrong_code`)."""
        body = Login(name=name, password=password, code=code, client=client)
        return await self._caller.call("POST", "/api/v1/login", Tokens, body=body, token="")

    async def end_replaced(self, session_id: str, tokens: Tokens) -> None:
        """End a session of one's own whose place `tokens` took; one that is over, or cannot be ended, is let be."""
        with contextlib.suppress(CyberCorpError):
            path = f"/api/v1/sessions/{segment(session_id)}"
            await self._caller.call("DELETE", path, type(None), token=tokens.access_token)

    async def logout(self) -> None:
        """End this session."""
        await self._caller.call("POST", "/api/v1/logout", type(None))

    async def step_up(self, password: str, code: str | None = None) -> Account:
        """Prove again who this is; it holds for five minutes."""
        body = StepUp(password=password, code=code)
        return await self._caller.call("POST", "/api/v1/account/step-up", Account, body=body)

    async def change_password(self, old: str, new: str, code: str | None = None) -> None:
        """All other sessions end."""
        body = PasswordChange(old_password=old, new_password=new, code=code)
        await self._caller.call("POST", "/api/v1/account/password", type(None), body=body)


class Accounts:
    """`AsyncAccount` without await."""

    def __init__(self, account: AsyncAccount) -> None:
        self._account = account

    def show(self) -> Account:
        """See `AsyncAccount.show`."""
        return complete(self._account.show())

    def login(
        self, name: str, password: str, code: str | None = None, client: ClientType = ClientType.LIBRARY
    ) -> Tokens:
        """See `AsyncAccount.login`."""
        return complete(self._account.login(name, password, code, client))

    def end_replaced(self, session_id: str, tokens: Tokens) -> None:
        """See `AsyncAccount.end_replaced`."""
        complete(self._account.end_replaced(session_id, tokens))

    def logout(self) -> None:
        """See `AsyncAccount.logout`."""
        complete(self._account.logout())

    def step_up(self, password: str, code: str | None = None) -> Account:
        """See `AsyncAccount.step_up`."""
        return complete(self._account.step_up(password, code))

    def change_password(self, old: str, new: str, code: str | None = None) -> None:
        """See `AsyncAccount.change_password`."""
        complete(self._account.change_password(old, new, code))
