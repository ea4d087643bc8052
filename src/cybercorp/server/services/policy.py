"""What somebody may, and where."""

from __future__ import annotations

from cybercorp.protocol.registry import Permission
from cybercorp.server.services.fleet import LiveHost


class Rights:
    """What one principal may. `everywhere` are the permissions that hold for every host."""

    def __init__(self, everywhere: frozenset[Permission]) -> None:
        self._everywhere = everywhere

    def allows(self, permission: Permission, host: LiveHost | None = None) -> bool:
        """Whether it may: for this host, or without one for any host at all."""
        return permission in self._everywhere

    def everywhere(self, permission: Permission) -> bool:
        """Whether it may for every host there is and will be."""
        return permission in self._everywhere


NOBODY = Rights(frozenset())
OWNER = Rights(frozenset(Permission) - {Permission.AGENT_CONNECT})
AGENT = Rights(frozenset({Permission.AGENT_CONNECT}))
