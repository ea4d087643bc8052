"""Tokens of programs: what scripts and service accounts show."""

from __future__ import annotations

import builtins

from cybercorp.client.calls import Caller, complete, segment
from cybercorp.protocol.roles import ApiToken, ApiTokenSecret, NewApiToken

_PATH = "/api/v1/tokens"
_USUAL_S = 90 * 86_400


class AsyncTokens:
    """Tokens: `client.tokens`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(self, user: str | None = None) -> builtins.list[ApiToken]:
        """One's own; of a `user`, or of all with `*`."""
        return await self._caller.call("GET", f"{_PATH}/", builtins.list[ApiToken], params=[("user", user)])

    async def create(
        self,
        name: str,
        *,
        user: str | None = None,
        permissions: builtins.list[str] | None = None,
        scope: str = "",
        expires_in_s: int = _USUAL_S,
    ) -> ApiTokenSecret:
        """The token itself is in the answer, and nowhere else, ever."""
        body = NewApiToken(name=name, user=user, permissions=permissions, scope=scope, expires_in_s=expires_in_s)
        return await self._caller.call("POST", f"{_PATH}/", ApiTokenSecret, body=body)

    async def revoke(self, token: str) -> None:
        """By its id."""
        await self._caller.call("DELETE", f"{_PATH}/{segment(token)}", type(None))


class Tokens:
    """`AsyncTokens` without await."""

    def __init__(self, tokens: AsyncTokens) -> None:
        self._tokens = tokens

    def list(self, user: str | None = None) -> builtins.list[ApiToken]:
        """See `AsyncTokens.list`."""
        return complete(self._tokens.list(user))

    def create(
        self,
        name: str,
        *,
        user: str | None = None,
        permissions: builtins.list[str] | None = None,
        scope: str = "",
        expires_in_s: int = _USUAL_S,
    ) -> ApiTokenSecret:
        """See `AsyncTokens.create`."""
        return complete(
            self._tokens.create(name, user=user, permissions=permissions, scope=scope, expires_in_s=expires_in_s)
        )

    def revoke(self, token: str) -> None:
        """See `AsyncTokens.revoke`."""
        complete(self._tokens.revoke(token))
