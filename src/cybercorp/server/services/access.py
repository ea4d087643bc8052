"""Who asks: tokens become principals. Each kind of token has its authenticator. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ForbiddenError, UnauthenticatedError
from cybercorp.security.tokens import TokenKind, new_token, token_hash, token_kind
from cybercorp.server.services.policy import OWNER
from cybercorp.server.services.principals import Principal, PrincipalKind
from cybercorp.store.records.tokens import TokenRepository

Authenticator = Callable[[str, str], Awaitable[Principal]]
_LOCAL = ("127.", "::1", "::ffff:127.")


class AccessService:
    """`authenticators` take a token and the network it came from; they raise UnauthenticatedError.

    Opaque tokens are looked up by their hash, which makes the comparison independent of how much of a guess is right.
    """

    def __init__(self, tokens: TokenRepository, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock
        self._owner_hash = ""
        self.viewing_only = False
        self.authenticators: dict[TokenKind, Authenticator] = {
            TokenKind.OWNER: self._owner,
        }

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

    async def authenticate(self, token: str | None, network: str = "") -> Principal:
        """The principal behind a bearer token. `network` is where it came from. Raises UnauthenticatedError."""
        kind = token_kind(token) if token else None
        authenticator = self.authenticators.get(kind) if kind else None
        if token is None or authenticator is None:
            raise unauthenticated("No valid token was sent." if token else "No token was sent.")
        principal = await authenticator(token, network)
        return msgspec.structs.replace(principal, viewing_only=True) if self.viewing_only else principal

    async def _owner(self, token: str, network: str) -> Principal:
        if network and not is_local(network):
            raise ForbiddenError(
                "The local owner's token is good on the server's own machine only.",
                hint="Make an account there, and log in with it: cybercorp users create.",
                code="local_only",
            )
        hashed = token_hash(token)
        if hashed != self._owner_hash:
            row = await self._tokens.find(hashed)
            if row is None or row.kind != TokenKind.OWNER:
                raise unknown_token()
        return Principal(kind=PrincipalKind.OWNER, id="owner", name="the local owner", rights=OWNER, network=network)


def is_local(network: str) -> bool:
    """Whether it is this machine's own; nothing is said of where who calls from within is."""
    return not network or network.startswith(_LOCAL)


def unknown_token() -> UnauthenticatedError:
    """For a token that has the right shape and is good for nothing."""
    return unauthenticated("This token is unknown here, or was withdrawn.")


def unauthenticated(message: str) -> UnauthenticatedError:
    return UnauthenticatedError(
        message, hint="Send 'Authorization: Bearer TOKEN'. On the server's machine the token is in owner.json."
    )
