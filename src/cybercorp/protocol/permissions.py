"""What may be done, as `noun:verb`, and the roles that ship. What has no permission does not start."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """Rights are looked up when they are used; no token carries them."""

    AGENT_CONNECT = "agents:connect"
    AGENT_ENROL = "agents:enrol"
    AGENT_ADMIN = "agents:admin"
    HOSTS_VIEW = "hosts:view"
    HOSTS_EDIT = "hosts:edit"
    METRICS_VIEW = "metrics:view"
    PROCESSES_VIEW = "processes:view"
    EVENTS_VIEW = "events:view"
    SERVER_VIEW = "server:view"
    RECORDINGS_EXPORT = "recordings:export"
    LIVE_CONNECT = "live:connect"
    ACCOUNT_USE = "account:use"
    TOKENS_CREATE = "tokens:create"
    USERS_VIEW = "users:view"
    USERS_ADMIN = "users:admin"
    ROLES_VIEW = "roles:view"
    ROLES_ADMIN = "roles:admin"
    AUDIT_READ = "audit:read"
    KEYS_VIEW = "keys:view"
    KEYS_ADMIN = "keys:admin"


_P = Permission

# Only these agents hold, and nobody else.
OF_AGENTS: Final = frozenset({_P.AGENT_CONNECT})
# Looking: nothing of it changes anything. It is all that a wallboard and a recording allow.
VIEW: Final = frozenset(
    {
        _P.HOSTS_VIEW,
        _P.METRICS_VIEW,
        _P.PROCESSES_VIEW,
        _P.EVENTS_VIEW,
        _P.SERVER_VIEW,
        _P.LIVE_CONNECT,
        _P.RECORDINGS_EXPORT,
        _P.USERS_VIEW,
        _P.ROLES_VIEW,
        _P.AUDIT_READ,
        _P.KEYS_VIEW,
        _P.ACCOUNT_USE,
    }
)
# What changes hosts or who may what, or makes what stands in for a log-in: it needs a second factor.
CONTROL: Final = frozenset(_P) - VIEW - OF_AGENTS
# What is of a host, and so can be scoped by its labels. Everything else holds everywhere or not at all.
OF_HOSTS: Final = frozenset(
    {
        _P.HOSTS_VIEW,
        _P.HOSTS_EDIT,
        _P.METRICS_VIEW,
        _P.PROCESSES_VIEW,
        _P.EVENTS_VIEW,
        _P.RECORDINGS_EXPORT,
        _P.AGENT_ADMIN,
    }
)
# What everybody who logged in may do, with their own account.
OF_EVERYBODY: Final = frozenset({_P.ACCOUNT_USE, _P.LIVE_CONNECT, _P.SERVER_VIEW})

_VIEWER = frozenset(
    {
        _P.HOSTS_VIEW,
        _P.METRICS_VIEW,
        _P.PROCESSES_VIEW,
        _P.EVENTS_VIEW,
        _P.SERVER_VIEW,
        _P.LIVE_CONNECT,
        _P.ACCOUNT_USE,
    }
)
SHIPPED_ROLES: Final[dict[str, tuple[str, frozenset[Permission]]]] = {
    "viewer": ("Look at hosts, metrics, processes and events.", _VIEWER),
    "operator": (
        "View, label and rename hosts, add machines, export recordings, make tokens.",
        _VIEWER | {_P.HOSTS_EDIT, _P.AGENT_ENROL, _P.RECORDINGS_EXPORT, _P.TOKENS_CREATE},
    ),
    "admin": ("Everything, also who else may what.", frozenset(_P) - OF_AGENTS),
}
