"""Sessions: where somebody is logged in."""

from __future__ import annotations

import builtins

from cybercorp.client.calls import Caller, complete, segment
from cybercorp.protocol.sessions import Session

_PATH = "/api/v1/sessions"


class AsyncSessions:
    """Sessions that are not over: `client.sessions`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(self, user: str | None = None) -> builtins.list[Session]:
        """One's own; of a `user`, or of all with `*`, where one may see users."""
        return await self._caller.call("GET", f"{_PATH}/", builtins.list[Session], params=[("user", user)])

    async def end(self, session: str) -> None:
        """Its tokens and sockets end with it. Raises NotFoundError (`session_not_found`)."""
        await self._caller.call("DELETE", f"{_PATH}/{segment(session)}", type(None))


class Sessions:
    """`AsyncSessions` without await."""

    def __init__(self, sessions: AsyncSessions) -> None:
        self._sessions = sessions

    def list(self, user: str | None = None) -> builtins.list[Session]:
        """See `AsyncSessions.list`."""
        return complete(self._sessions.list(user))

    def end(self, session: str) -> None:
        """See `AsyncSessions.end`."""
        complete(self._sessions.end(session))
