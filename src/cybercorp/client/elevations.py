"""Elevations: a role for a while, asked for by one person and decided by another."""

from __future__ import annotations

import builtins

from cybercorp.client.calls import Caller, complete, segment
from cybercorp.protocol.roles import Elevation, ElevationDecision, NewElevation

_PATH = "/api/v1/elevations"


class AsyncElevations:
    """Requests for roles: `client.elevations`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list(self) -> builtins.list[Elevation]:
        """One's own; of all where one may see roles."""
        return await self._caller.call("GET", f"{_PATH}/", builtins.list[Elevation])

    async def request(self, role: str, reason: str, scope: str = "", duration_s: int = 3600) -> Elevation:
        """Ask for it, for up to twelve hours."""
        body = NewElevation(role=role, reason=reason, scope=scope, duration_s=duration_s)
        return await self._caller.call("POST", f"{_PATH}/", Elevation, body=body)

    async def decide(self, elevation: str, *, approve: bool) -> Elevation:
        """Never on one's own. Raises ForbiddenError (`own_request`, `grants_more`), ConflictError (`decided`)."""
        path = f"{_PATH}/{segment(elevation)}/decision"
        return await self._caller.call("POST", path, Elevation, body=ElevationDecision(approve=approve))

    async def cancel(self, elevation: str) -> None:
        """The request, or the role that was given: it ends now."""
        await self._caller.call("DELETE", f"{_PATH}/{segment(elevation)}", type(None))


class Elevations:
    """`AsyncElevations` without await."""

    def __init__(self, elevations: AsyncElevations) -> None:
        self._elevations = elevations

    def list(self) -> builtins.list[Elevation]:
        """See `AsyncElevations.list`."""
        return complete(self._elevations.list())

    def request(self, role: str, reason: str, scope: str = "", duration_s: int = 3600) -> Elevation:
        """See `AsyncElevations.request`."""
        return complete(self._elevations.request(role, reason, scope, duration_s))

    def decide(self, elevation: str, *, approve: bool) -> Elevation:
        """See `AsyncElevations.decide`."""
        return complete(self._elevations.decide(elevation, approve=approve))

    def cancel(self, elevation: str) -> None:
        """See `AsyncElevations.cancel`."""
        complete(self._elevations.cancel(elevation))
