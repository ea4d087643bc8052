"""The bearer token of each request: a fixed one, or a session's, renewed shortly before it is over."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from cybercorp.client.session_store import SessionStore, StoredSession
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import UnauthenticatedError
from cybercorp.protocol.logins import Tokens

RENEW_BEFORE_MS = 30_000
_WAIT_S, _STEP_S = 15.0, 0.05

Renew = Callable[[str], Awaitable[Tokens]]


class Authorization(Protocol):
    """Gives the token to send now."""

    async def token(self) -> str:
        """Empty where there is none. Raises UnauthenticatedError where a session is over."""
        ...

    def refused(self, token: str) -> bool:
        """The server did not take this token. True where `token` should be asked once more."""
        ...

    def forget(self) -> None:
        """Somebody logged in or out here: read anew what is kept."""
        ...


class FixedToken:
    """A token that was given, or found in a file: it is sent as it is."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def token(self) -> str:
        return self._token

    def refused(self, token: str) -> bool:
        return False

    def forget(self) -> None:
        return


class SessionToken:
    """The access token of a log-in. One process renews it, the others that use it wait and read the new one.

    `renew` asks the server with a refresh token. `blocking`: there is no event loop, waiting sleeps.
    """

    def __init__(self, store: SessionStore, renew: Renew, *, blocking: bool) -> None:
        self._store = store
        self._renew = renew
        self._blocking = blocking
        self._session: StoredSession | None = None
        self._refused = ""

    async def token(self) -> str:
        session = self._session or self._store.load()
        if session is not None and not self._is_due(session):
            self._session = session
            return session.access_token
        self._session = await self._renewed()
        return self._session.access_token

    def refused(self, token: str) -> bool:
        """Read anew what is kept, for somebody may have logged in again; the same token is not sent again."""
        self._session, self._refused = None, token
        return True

    def forget(self) -> None:
        self._session, self._refused = None, ""

    async def _renewed(self) -> StoredSession:
        deadline = time.monotonic() + _WAIT_S
        while True:
            with self._store.locked() as mine:
                session = self._store.load()
                if session is None:
                    raise logged_out(self._store.profile)
                if not self._is_due(session):
                    return session
                if mine or time.monotonic() > deadline:
                    return await self._ask(session)
            if self._blocking:
                time.sleep(_STEP_S)  # noqa: ASYNC251 - there is no loop that it could hold up
            else:
                import asyncio  # a blocking client does not pay for it

                await asyncio.sleep(_STEP_S)

    async def _ask(self, session: StoredSession) -> StoredSession:
        try:
            made = stored_session(session.url, await self._renew(session.refresh_token))
        except UnauthenticatedError:
            made = None
        # A log-in, a log-out or another renewal in the meantime counts: it is newer than what was asked for.
        kept = self._store.load()
        if kept is not None and kept.refresh_token != session.refresh_token:
            return kept
        if kept is None or made is None:
            self._store.remove()
            raise logged_out(self._store.profile)
        self._store.save(made)
        return made

    def _is_due(self, session: StoredSession) -> bool:
        over = SystemClock().now_ms() >= session.access_until_ms - RENEW_BEFORE_MS
        return over or session.access_token == self._refused


def stored_session(url: str, tokens: Tokens) -> StoredSession:
    """What is kept of an answer."""
    return StoredSession(
        url=url,
        user=tokens.user,
        session_id=tokens.session_id,
        access_token=tokens.access_token,
        access_until_ms=SystemClock().now_ms() + tokens.expires_in_s * 1000,
        refresh_token=tokens.refresh_token,
    )


def logged_out(profile: str) -> UnauthenticatedError:
    """For a profile whose session is over."""
    return UnauthenticatedError(
        f"You are not logged in to '{profile}', or the session is over.", hint="Log in: cybercorp login."
    )
