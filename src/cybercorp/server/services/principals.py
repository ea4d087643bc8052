"""Who asks: a person, a program, an agent or the owner of this machine, and what they may."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cybercorp.core.errors import ForbiddenError, InvalidInputError, StepUpRequiredError
from cybercorp.protocol.permissions import CONTROL, VIEW, Permission
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.policy import NOBODY, OWNER, Rights
from cybercorp.server.services.views import View

STEP_UP_MS = 300_000
STRONG_FACTORS = frozenset({"totp", "passkey"})


class PrincipalKind(StrEnum):
    """The user that the server runs as, a person, a service account's token, an agent."""

    OWNER = "owner"
    USER = "user"
    SERVICE = "service"
    AGENT = "agent"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who proved who they are, and how: `factors` names the proofs of their session (RFC 8176 words).

    `looks_only`: a wallboard, which has of its user's rights those to look. `factor_for_all`: a second factor is needed
    for everything but one's own account, not only for what changes something. `rights` are looked up anew whenever they
    changed; a principal that was kept for a socket is replaced then.
    """

    kind: PrincipalKind
    id: str
    name: str
    rights: Rights = NOBODY
    session_id: str = ""
    token_id: str = ""
    host_id: str | None = None
    network: str = ""
    factors: frozenset[str] = frozenset()
    stepped_up_at_ms: int | None = None
    viewing_only: bool = False
    looks_only: bool = False
    factor_for_all: bool = False

    def may(self, permission: Permission, host: LiveHost | None = None) -> bool:
        """Whether the rights hold it: for this host, or without one for any host at all."""
        if self.viewing_only and permission not in VIEW:
            return False
        return self.rights.allows(permission, host) and not self._lacks_factor(permission)

    def require(self, permission: Permission, host: LiveHost | None = None) -> None:
        """Raises ForbiddenError (`recording`, `mfa_required`) that says what is missing."""
        if self.viewing_only and permission not in VIEW:
            raise ForbiddenError("This is a recording: it can be looked at, not changed.", code="recording")
        if not self.rights.allows(permission, host):
            raise ForbiddenError(
                f"{self.name} may not do this (it needs {permission}).",
                hint="Ask an admin for a role that holds it, or for an elevation: cybercorp access request.",
            )
        if self._lacks_factor(permission):
            raise ForbiddenError(
                "This needs a second factor, and this session was begun without one.",
                hint="Set one up and log in again: cybercorp mfa add, cybercorp login.",
                code="mfa_required",
            )

    def person(self) -> str:
        """The id of the user who is logged in. Raises InvalidInputError (`no_session`) for anybody else."""
        if self.kind is not PrincipalKind.USER or not self.session_id:
            raise InvalidInputError(
                "Only somebody who is logged in can do this.", hint="Log in: cybercorp login.", code="no_session"
            )
        return self.id

    def view(self, permission: Permission) -> View:
        """The hosts for which this permission holds."""
        return View(self.rights, permission)

    def require_step_up(self, now_ms: int) -> None:
        """Raises StepUpRequiredError unless it was proven within the last five minutes who this is."""
        if self.kind is PrincipalKind.OWNER:
            return  # whoever can read the owner's file owns the process itself
        if self.kind is not PrincipalKind.USER:
            raise StepUpRequiredError(
                "This must be done by a person, who can prove who they are.", hint="Log in: cybercorp login."
            )
        if self.stepped_up_at_ms is None or not 0 <= now_ms - self.stepped_up_at_ms <= STEP_UP_MS:
            raise StepUpRequiredError(
                "Prove again who you are before this.", hint="On a terminal the command asks by itself."
            )

    def _lacks_factor(self, permission: Permission) -> bool:
        if self.kind is not PrincipalKind.USER or self.factors & STRONG_FACTORS:
            return False
        return permission in CONTROL or (self.factor_for_all and permission is not Permission.ACCOUNT_USE)


LOCAL_OWNER = Principal(kind=PrincipalKind.OWNER, id="owner", name="the local owner", rights=OWNER)
