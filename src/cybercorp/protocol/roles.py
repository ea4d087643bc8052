"""Roles, and who is bound to them where and how long; elevations; tokens of programs."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.selectors import HostSelector, parse_host_selector

MAX_SCOPE = 500


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """A set of permissions with a name. The roles that ship cannot be changed."""

    name: str
    permissions: list[str]
    description: str = ""
    builtin: bool = False


class NewRole(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    permissions: list[str]
    description: str = ""


class Effect(StrEnum):
    """A denial wins over every allowance."""

    ALLOW = "allow"
    DENY = "deny"


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """`user` has `role` on the hosts that `scope` means (labels: `env=prod team!=core`; empty: everywhere and all).

    It holds from `starts_at_ms` until `expires_at_ms` (None: until it is removed), in Unix milliseconds.
    """

    id: str
    user_id: str
    user: str
    role: str
    scope: str
    effect: Effect
    starts_at_ms: int
    expires_at_ms: int | None
    created_by: str
    created_at_ms: int
    reason: str = ""


class NewBinding(msgspec.Struct, frozen=True, kw_only=True):
    """`expires_in_s` None: until it is removed."""

    user: str
    role: str
    scope: str = ""
    effect: Effect = Effect.ALLOW
    expires_in_s: int | None = None
    reason: str = ""


class ElevationState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    CANCELLED = "cancelled"


class Elevation(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody asks for a role for a while; somebody else decides."""

    id: str
    user_id: str
    user: str
    role: str
    scope: str
    duration_ms: int
    reason: str
    state: ElevationState
    requested_at_ms: int
    decided_by: str | None = None
    decided_at_ms: int | None = None
    binding_id: str | None = None


class NewElevation(msgspec.Struct, frozen=True, kw_only=True):
    role: str
    reason: str
    scope: str = ""
    duration_s: int = 3600


class ElevationDecision(msgspec.Struct, frozen=True, kw_only=True):
    approve: bool


class ApiToken(msgspec.Struct, frozen=True, kw_only=True):
    """A program's token: never more than its owner may at the time, and at most `permissions` where these are given."""

    id: str
    user_id: str
    user: str
    name: str
    permissions: list[str] | None
    scope: str
    created_at_ms: int
    expires_at_ms: int | None
    used_at_ms: int | None = None


class NewApiToken(msgspec.Struct, frozen=True, kw_only=True):
    """For oneself, or with `user` for a service account. `permissions` None: all that the owner has."""

    name: str
    user: str | None = None
    permissions: list[str] | None = None
    scope: str = ""
    expires_in_s: int = 90 * 86_400


class ApiTokenSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The token itself, shown once."""

    token: str
    details: ApiToken

    def __repr__(self) -> str:
        return f"ApiTokenSecret(id={self.details.id!r})"


def parse_scope(text: str) -> HostSelector:
    """A scope: labels only, which the server assigns; a name or a value is what a host says of itself.

    Raises InvalidInputError (`invalid_scope`).
    """
    selector = parse_host_selector(text)
    if any(not word.label or word.label == "state" for word in selector.words):
        raise InvalidInputError(
            f"'{text[:80]}' is not a scope.",
            hint="Write labels: env=prod, team!=core; several must all hold.",
            code="invalid_scope",
        )
    return selector
