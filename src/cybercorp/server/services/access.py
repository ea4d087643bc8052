"""Who asks, and what may they: tokens become identities, identities have permissions. Knows no HTTP."""

from __future__ import annotations

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ForbiddenError, UnauthenticatedError
from cybercorp.protocol.registry import Permission
from cybercorp.security.tokens import TokenKind, new_token, token_hash, token_kind
from cybercorp.store.records.tokens import TokenRepository

CHANGING = frozenset({Permission.AGENT_CONNECT, Permission.AGENT_ENROL, Permission.HOSTS_EDIT})
PERMISSIONS: dict[TokenKind, frozenset[Permission]] = {
    TokenKind.OWNER: frozenset(Permission) - {Permission.AGENT_CONNECT},
    TokenKind.AGENT: frozenset({Permission.AGENT_CONNECT}),
    TokenKind.ENROLMENT: frozenset(),
}


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who showed a token. An agent's identity names its host."""

    kind: TokenKind
    host_id: str | None = None
    viewing_only: bool = False

    def require(self, permission: Permission) -> None:
        """Raises ForbiddenError where this identity lacks the permission."""
        if self.viewing_only and permission in CHANGING:
            raise ForbiddenError("This is a recording: it can be looked at, not changed.", code="recording")
        if permission not in PERMISSIONS[self.kind]:
            raise ForbiddenError(
                f"A token of kind '{self.kind}' may not do this (it needs {permission}).",
                hint="Use the owner's token, or run this on the server's machine as its user.",
            )


class AccessService:
    """Looks tokens up by their hash; the hash makes the comparison independent of how much of a guess is right."""

    def __init__(self, tokens: TokenRepository, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._owner_hash = ""
        self.viewing_only = False

    async def make_owner_token(self) -> str:
        """A new owner token for this run of the server; the ones of earlier runs stop working."""
        token = new_token(TokenKind.OWNER)
        await self._tokens.delete_kind(TokenKind.OWNER)
        await self._tokens.create(TokenKind.OWNER, token_hash(token), self._clock.now_ms())
        self._owner_hash = token_hash(token)
        return token

    async def keep_owner_token(self, token: str) -> bool:
        """Whether the owner token of an earlier run is still good; then it stays."""
        if token_kind(token) is not TokenKind.OWNER:
            return False
        row = await self._tokens.find(token_hash(token))
        if row is None or row.kind != TokenKind.OWNER:
            return False
        self._owner_hash = row.hash
        return True

    async def identify(self, token: str | None) -> Identity:
        """The identity behind a bearer token. Raises UnauthenticatedError."""
        kind = token_kind(token) if token else None
        if token is None or kind is None or kind is TokenKind.ENROLMENT:
            raise unauthenticated("No valid token was sent." if token else "No token was sent.")
        hashed = token_hash(token)
        if hashed == self._owner_hash:
            return Identity(kind=TokenKind.OWNER, viewing_only=self.viewing_only)
        row = await self._tokens.find(hashed)
        expired = row is not None and row.expires_at_ms is not None and row.expires_at_ms <= self._clock.now_ms()
        if row is None or row.kind != kind or expired:
            raise unauthenticated("This token is unknown here, or was withdrawn.")
        return Identity(kind=kind, host_id=row.host_id, viewing_only=self.viewing_only)


def unauthenticated(message: str) -> UnauthenticatedError:
    return UnauthenticatedError(
        message, hint="Send 'Authorization: Bearer TOKEN'. On the server's machine the token is in owner.json."
    )
