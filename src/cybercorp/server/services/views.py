"""Which hosts somebody sees: what every query asks before it tells anything of a host."""

from __future__ import annotations

from collections.abc import Iterable

from cybercorp.protocol.permissions import Permission
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.policy import OWNER, Rights


class View:
    """The hosts for which `rights` hold a permission. `everything`: all that there are and will be."""

    def __init__(self, rights: Rights, permission: Permission) -> None:
        self.rights = rights
        self.permission = permission
        self.everything = rights.everywhere(permission)
        self.every_process = rights.everywhere(Permission.PROCESSES_VIEW)

    def sees(self, host: LiveHost) -> bool:
        return self.everything or self.rights.allows(self.permission, host)

    def sees_processes(self, host: LiveHost) -> bool:
        """Whether a summary of this host may name its busiest process."""
        return self.every_process or self.rights.allows(Permission.PROCESSES_VIEW, host)

    def with_processes(self, hosts: Iterable[LiveHost]) -> set[int]:
        """The keys of those whose busiest process may be named: `sees_processes` for many at once."""
        return {host.key for host in self.rights.visible(Permission.PROCESSES_VIEW, hosts)}

    def choose(self, hosts: Iterable[LiveHost]) -> list[LiveHost]:
        """Those that are seen, in their order."""
        return self.rights.visible(self.permission, hosts)


ALL = View(OWNER, Permission.HOSTS_VIEW)  # for what the server does by itself
