"""What somebody may, and where: roles bound to users, in memory, looked up whenever it matters.

A right holds where an allowance's scope means the host and no denial's does. Permissions that are not of a host hold
through allowances without a scope only; a denial takes them away whatever its scope, but what everybody may do with
their own account only where it has none: who is denied some hosts still gets in.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Mapping

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.protocol.permissions import OF_AGENTS, OF_EVERYBODY, OF_HOSTS, SHIPPED_ROLES, Permission
from cybercorp.protocol.roles import Effect, parse_scope
from cybercorp.protocol.selectors import HostSelector
from cybercorp.server.services.fleet import LiveHost
from cybercorp.store.records.roles import BindingRepository, RoleRepository

_MAX_DECIDED = 100_000
_MAX_BOUNDED = 100


class Grant(msgspec.Struct, frozen=True):
    """Permissions on the hosts of a scope (None: everywhere), until a time in Unix milliseconds (None: always)."""

    permissions: frozenset[Permission]
    scope: HostSelector | None = None
    starts_at_ms: int = 0
    expires_at_ms: int | None = None

    def covers(self, permission: Permission, labels: Mapping[str, str] | None, now_ms: int) -> bool:
        """Whether it is about this permission, on a host with these labels; without any: on any host at all."""
        if permission not in self.permissions or not self.holds(now_ms):
            return False
        if self.scope is None:
            return True
        return permission in OF_HOSTS and (labels is None or self.scope.matches("", labels))

    def holds(self, now_ms: int) -> bool:
        return self.starts_at_ms <= now_ms and (self.expires_at_ms is None or now_ms < self.expires_at_ms)


class Rights:
    """What one principal may. `within` are further bounds; of each, one of its grants must cover it as well.

    What was decided of a host is remembered until its labels are others, or a grant begins or ends.
    """

    def __init__(
        self,
        allowed: Iterable[Grant] = (),
        denied: Iterable[Grant] = (),
        clock: Clock | None = None,
        within: Iterable[tuple[Grant, ...]] = (),
    ) -> None:
        self._allowed = tuple(allowed)
        self._denied = tuple(denied)
        self._clock = clock
        self._within = tuple(within)
        grants = (*self._allowed, *self._denied, *(one for bound in self._within for one in bound))
        times = {one.starts_at_ms for one in grants} | {one.expires_at_ms for one in grants}
        self._turns = sorted(time_ms for time_ms in times if time_ms)
        self._decided: dict[tuple[Permission, int], tuple[Mapping[str, str], bool]] = {}
        self._decided_from = self._decided_until = 0
        self._bounded: dict[tuple[Grant, ...], Rights] = {}

    def allows(self, permission: Permission, host: LiveHost | None = None) -> bool:
        """Whether it may: for this host, or without one for any host at all."""
        if host is None:
            return self._allows(permission, None)
        return self._decide(permission, host, self._decisions())

    def allows_labels(self, permission: Permission, labels: Mapping[str, str]) -> bool:
        """Whether it would be allowed for a host with these labels."""
        return self._allows(permission, labels)

    def everywhere(self, permission: Permission) -> bool:
        """Whether it may for every host there is and will be."""
        now_ms = self._now_ms()
        if self._is_narrowed(permission, now_ms):
            return False
        return any(one.scope is None and one.covers(permission, None, now_ms) for one in self._allowed)

    def permissions(self) -> frozenset[Permission]:
        """Those that it has anywhere."""
        return frozenset(one for one in Permission if self.allows(one))

    def visible(self, permission: Permission, hosts: Iterable[LiveHost]) -> list[LiveHost]:
        """The hosts for which it may."""
        if self.everywhere(permission):
            return list(hosts)
        decided = self._decisions()
        return [host for host in hosts if self._decide(permission, host, decided)]

    def bounded(self, *within: Grant) -> Rights:
        """The same, and no more than these allow together: for a token, a wallboard."""
        made = self._bounded.get(within)
        if made is None:
            if len(self._bounded) >= _MAX_BOUNDED:
                self._bounded.clear()
            made = self._bounded[within] = Rights(self._allowed, self._denied, self._clock, (*self._within, within))
        return made

    def covers(self, permission: Permission, scope: HostSelector | None, until_ms: int | None) -> bool:
        """Whether it may for all that a scope can mean, and as long (None: always): nobody grants what they lack."""
        now_ms = self._now_ms()
        if self._is_narrowed(permission, now_ms):
            return False
        return any(
            permission in one.permissions
            and one.holds(now_ms)
            and (one.expires_at_ms is None or (until_ms is not None and until_ms <= one.expires_at_ms))
            and (one.scope is None or (scope is not None and set(one.scope.words) <= set(scope.words)))
            for one in self._allowed
        )

    def lasts(self, permission: Permission) -> bool:
        """Whether it may for every host, and until somebody takes that away."""
        return self.covers(permission, None, None)

    def reaches(self, other: Rights, *, lasting: bool) -> bool:
        """Whether it may all that `other` may, as far; `lasting`: as long, too. What everybody may is left out."""
        now_ms = self._now_ms()
        return all(
            self.covers(permission, grant.scope, grant.expires_at_ms if lasting else now_ms)
            for grant in other._allowed
            if grant.expires_at_ms is None or now_ms < grant.expires_at_ms
            for permission in grant.permissions - OF_EVERYBODY
            if grant.scope is None or permission in OF_HOSTS
        )

    def _decisions(self) -> dict[tuple[Permission, int], tuple[Mapping[str, str], bool]]:
        """What was decided and still holds: nothing where a grant has begun or ended since."""
        now_ms = self._now_ms()
        if not self._decided_from <= now_ms < self._decided_until or len(self._decided) >= _MAX_DECIDED:
            self._decided = {}
            place = bisect.bisect_right(self._turns, now_ms)
            self._decided_from = self._turns[place - 1] if place else 0
            self._decided_until = self._turns[place] if place < len(self._turns) else 1 << 62
        return self._decided

    def _decide(
        self,
        permission: Permission,
        host: LiveHost,
        decided: dict[tuple[Permission, int], tuple[Mapping[str, str], bool]],
    ) -> bool:
        labels = host.row.labels
        known = decided.get((permission, host.row.key))
        if known is None or known[0] is not labels:
            known = decided[permission, host.row.key] = (labels, self._allows(permission, labels))
        return known[1]

    def _is_narrowed(self, permission: Permission, now_ms: int) -> bool:
        """Whether a denial or a bound is about it anywhere."""
        bounded = any(
            all(one.scope is not None or permission not in one.permissions for one in bound) for bound in self._within
        )
        return bounded or any(permission in one.permissions and one.holds(now_ms) for one in self._denied)

    def _allows(self, permission: Permission, labels: Mapping[str, str] | None) -> bool:
        now_ms = self._now_ms()
        if not any(one.covers(permission, labels, now_ms) for one in self._allowed):
            return False
        if not all(any(one.covers(permission, labels, now_ms) for one in bound) for bound in self._within):
            return False
        return not any(self._denies(one, permission, labels, now_ms) for one in self._denied)

    def _denies(self, grant: Grant, permission: Permission, labels: Mapping[str, str] | None, now_ms: int) -> bool:
        if permission not in grant.permissions or not grant.holds(now_ms):
            return False
        if grant.scope is None:
            return True
        if permission not in OF_HOSTS:
            return permission not in OF_EVERYBODY
        return labels is not None and grant.scope.matches("", labels)

    def _now_ms(self) -> int:
        return self._clock.now_ms() if self._clock else 0


NOBODY = Rights()
OWNER = Rights([Grant(frozenset(Permission) - OF_AGENTS)])
AGENT = Rights([Grant(OF_AGENTS)])


class Policy:
    """Roles and bindings of all users. `load` reads them again; `on_changed` is called where something is different."""

    def __init__(self, roles: RoleRepository, bindings: BindingRepository, clock: Clock) -> None:
        self._roles = roles
        self._bindings = bindings
        self._clock = clock
        self._by_user: dict[str, Rights] = {}
        self._state: object = None
        self._everybody = Grant(OF_EVERYBODY)
        self.on_changed: Callable[[], None] = lambda: None
        self.roles: Mapping[str, frozenset[Permission]] = {}
        self.revision = 0

    async def load(self) -> bool:
        """Read what is stored; True where it was another than before."""
        roles, bindings = await self._roles.list_(), await self._bindings.list_()
        state = (tuple((row.name, tuple(row.permissions)) for row in roles), tuple(bindings))
        if state == self._state:
            return False
        known = {name: permissions for name, (_, permissions) in SHIPPED_ROLES.items()}
        values = set(Permission)
        known |= {
            row.name: frozenset(Permission(one) for one in row.permissions if one in values) - OF_AGENTS
            for row in roles
        }
        allowed: dict[str, list[Grant]] = {}
        denied: dict[str, list[Grant]] = {}
        for row in bindings:
            scope = parse_scope(row.scope) if row.scope else None
            grant = Grant(known.get(row.role, frozenset()), scope, row.starts_at_ms, row.expires_at_ms)
            (denied if row.effect == Effect.DENY else allowed).setdefault(row.user_id, []).append(grant)
        self._by_user = {
            user: Rights([self._everybody, *allowed.get(user, ())], denied.get(user, ()), self._clock)
            for user in {*allowed, *denied}
        }
        self.roles, self._state = known, state
        self.revision += 1
        self.on_changed()
        return True

    def rights_of(self, user_id: str) -> Rights:
        """The rights of a user as they are now."""
        return self._by_user.get(user_id) or Rights([self._everybody], (), self._clock)
