"""Roles and bindings: made and removed by whoever may, and nobody gives what they lack."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from cybercorp.core.ids import new_id
from cybercorp.protocol.permissions import OF_AGENTS, SHIPPED_ROLES, Permission
from cybercorp.protocol.roles import MAX_SCOPE, Binding, Effect, NewBinding, NewRole, Role, parse_scope
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.policy import Policy
from cybercorp.server.services.principals import Principal
from cybercorp.store.records.roles import BindingRepository, BindingRow, RoleRepository, RoleRow
from cybercorp.store.records.users import UserRepository

MAX_BINDINGS = 20_000
LONGEST_S = 366 * 86_400
KEEP_MS = 90 * 86_400_000
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class RoleService:
    def __init__(
        self,
        roles: RoleRepository,
        bindings: BindingRepository,
        users: UserRepository,
        policy: Policy,
        audit: AuditService,
        clock: Clock,
    ) -> None:
        self._roles = roles
        self._bindings = bindings
        self._users = users
        self._policy = policy
        self._audit = audit
        self._clock = clock

    async def list_(self) -> list[Role]:
        """Those that ship, then those that were made here."""
        shipped = [
            Role(name=name, permissions=sorted(permissions), description=description, builtin=True)
            for name, (description, permissions) in SHIPPED_ROLES.items()
        ]
        made = [
            Role(name=row.name, permissions=row.permissions, description=row.description)
            for row in await self._roles.list_()
        ]
        return shipped + made

    async def create(self, actor: Principal, new: NewRole) -> Role:
        """Raises InvalidInputError, ConflictError (`role_taken`), ForbiddenError (`grants_more`), StorageError."""
        if not _NAME.fullmatch(new.name):
            raise InvalidInputError(
                f"'{new.name[:80]}' cannot be a role's name.",
                hint="Use up to 63 small letters, digits, - and _, a letter first.",
                code="invalid_name",
            )
        if new.name in SHIPPED_ROLES:
            raise ConflictError(f"The role '{new.name}' ships.", hint="Choose another name.", code="role_taken")
        permissions = check_permissions(new.permissions)
        self._check_holds(actor, permissions, "", self._clock.now_ms())
        await self._check_unused(new.name)
        row = RoleRow(
            name=new.name,
            permissions=sorted(permissions),
            description=new.description[:200],
            created_at_ms=self._clock.now_ms(),
        )
        detail = {"permissions": " ".join(row.permissions)}
        async with self._audit.intend("role.create", actor=actor, target_kind="role", target=row.name, detail=detail):
            await self._roles.create(row)
            await self._policy.load()
        return Role(name=row.name, permissions=row.permissions, description=row.description)

    async def remove(self, actor: Principal, name: str) -> None:
        """Raises NotFoundError (`role_not_found`), ConflictError (`role_taken`, `role_in_use`), StorageError."""
        if name in SHIPPED_ROLES:
            raise ConflictError(f"The role '{name}' ships.", hint="It can stay unused.", code="role_taken")
        await self._check_unused(name)
        async with self._audit.intend("role.remove", actor=actor, target_kind="role", target=name):
            await self._roles.remove(name)
            await self._policy.load()

    async def list_bindings(self, user: str | None = None) -> list[Binding]:
        """Those that are not over, oldest first; of all users, or of one."""
        names = {row.id: row.name for row in await self._users.list_()}
        now_ms = self._clock.now_ms()
        user_id = (await self._users.get(user)).id if user is not None else None
        return [
            _binding(row, names.get(row.user_id, ""))
            for row in await self._bindings.list_()
            if (user_id is None or row.user_id == user_id) and (row.expires_at_ms is None or row.expires_at_ms > now_ms)
        ]

    async def bind(self, actor: Principal, new: NewBinding) -> Binding:
        """Raises NotFoundError, InvalidInputError, ConflictError, ForbiddenError (`grants_more`), StorageError."""
        user = await self._users.get(new.user)
        permissions = self.permissions_of(new.role)
        scope = self.check_scope(new.scope)
        if new.expires_in_s is not None and not 1 <= new.expires_in_s <= LONGEST_S:
            raise InvalidInputError("A binding lasts between a second and a year.", hint="Or for ever: leave it out.")
        lasting_ms = new.expires_in_s * 1000 if new.expires_in_s is not None else None
        now_ms = self._clock.now_ms()
        denies = new.effect is Effect.DENY
        until_ms = now_ms if denies else None if lasting_ms is None else now_ms + lasting_ms
        self._check_holds(actor, permissions, scope, until_ms)
        if denies and user.id == actor.id:
            raise ConflictError("You would shut yourself out.", hint="Let somebody else do it.")
        if denies:
            await self._keep_an_admin(user.id, new.role)
        if len(await self._bindings.list_()) >= MAX_BINDINGS:
            raise ConflictError(f"There are {MAX_BINDINGS} bindings already.", hint="Remove some.")
        row = self.new_binding(
            actor.name,
            user.id,
            new.role,
            scope,
            duration_ms=lasting_ms,
            reason=new.reason,
            effect=new.effect,
        )
        async with self._audit.intend(
            "binding.create",
            actor=actor,
            target_kind="user",
            target_id=user.id,
            target=user.name,
            detail={"role": row.role, "scope": row.scope, "effect": row.effect, "reason": row.reason},
        ):
            await self._bindings.create(row)
            await self._policy.load()
        return _binding(row, user.name)

    async def unbind(self, actor: Principal, id: str) -> None:
        """Raises NotFoundError (`binding_not_found`), ForbiddenError, ConflictError (`last_admin`), StorageError."""
        row = next((one for one in await self._bindings.list_() if one.id == id), None)
        if row is None:
            raise NotFoundError(
                "There is no such binding.", hint="List them: cybercorp bindings.", code="binding_not_found"
            )
        until_ms = row.expires_at_ms if row.effect == Effect.DENY else self._clock.now_ms()  # without it, one may more
        self._check_holds(actor, self._policy.roles.get(row.role, frozenset()), row.scope, until_ms)
        if row.effect != Effect.DENY and not row.scope:
            await self._keep_an_admin(row.user_id, row.role)
        async with self._audit.intend(
            "binding.remove",
            actor=actor,
            target_kind="user",
            target_id=row.user_id,
            detail={"role": row.role, "scope": row.scope, "effect": row.effect},
        ):
            await self._bindings.remove(id)
            await self._policy.load()

    def permissions_of(self, role: str) -> frozenset[Permission]:
        """Raises InvalidInputError (`role_not_found`)."""
        found = self._policy.roles.get(role)
        if found is None:
            known = ", ".join(sorted(self._policy.roles))
            raise InvalidInputError(
                f"There is no role '{role[:100]}'.", hint=f"There are: {known}.", code="role_not_found"
            )
        return found

    def check_scope(self, scope: str) -> str:
        """The scope as it is stored. Raises InvalidInputError (`invalid_scope`)."""
        if len(scope) > MAX_SCOPE:
            raise InvalidInputError("The scope is too long.", hint="Use fewer labels.", code="invalid_scope")
        parse_scope(scope)
        return " ".join(scope.split())

    def new_binding(
        self,
        by: str,
        user_id: str,
        role: str,
        scope: str,
        *,
        duration_ms: int | None,
        reason: str,
        effect: Effect = Effect.ALLOW,
    ) -> BindingRow:
        """A binding that begins now."""
        now_ms = self._clock.now_ms()
        return BindingRow(
            id=new_id("binding"),
            user_id=user_id,
            role=role,
            scope=scope,
            effect=effect,
            starts_at_ms=now_ms,
            expires_at_ms=now_ms + duration_ms if duration_ms is not None else None,
            created_by=by,
            created_at_ms=now_ms,
            reason=reason[:500],
        )

    async def end_binding(self, id: str) -> None:
        """It gives nothing from now on; whoever calls this has audited it, and loads the policy anew."""
        with contextlib.suppress(NotFoundError):
            await self._bindings.remove(id)

    async def forget_old(self) -> int:
        """Forget bindings that are over for 90 days; the audit trail keeps them."""
        return await self._bindings.delete_before(self._clock.now_ms() - KEEP_MS)

    async def _check_unused(self, role: str) -> None:
        """A role that is taken away, or comes back as another one, changes what its bindings give or deny."""
        if any(row.role == role for row in await self._bindings.list_()):
            raise ConflictError(
                f"There are bindings to the role '{role}'.",
                hint="Remove them first: cybercorp bindings.",
                code="role_in_use",
            )

    def _check_holds(
        self, actor: Principal, permissions: frozenset[Permission], scope: str, until_ms: int | None
    ) -> None:
        """Raises ForbiddenError where the actor lacks some of it there, or for that long (None: always)."""
        parsed = parse_scope(scope) if scope else None
        lacking = sorted(one for one in permissions if not actor.rights.covers(one, parsed, until_ms))
        if lacking:
            raise ForbiddenError(
                f"Nobody gives or takes what they lack: {', '.join(lacking[:5])}.",
                hint="Ask an admin whose rights reach that far, and last that long.",
                code="grants_more",
            )

    async def _keep_an_admin(self, user_id: str, role: str) -> None:
        """Who loses this role is not the last person who may manage roles everywhere, and not for a while only."""
        wanted = Permission.ROLES_ADMIN
        if wanted not in self._policy.roles.get(role, frozenset()) or not self._policy.rights_of(user_id).lasts(wanted):
            return
        if not any(
            one.id != user_id and one.may_log_in and self._policy.rights_of(one.id).lasts(wanted)
            for one in await self._users.list_()
        ):
            raise ConflictError(
                "This would leave nobody who may manage roles.",
                hint="Bind another admin first: cybercorp bindings create USER admin.",
                code="last_admin",
            )


def check_permissions(names: Sequence[str]) -> frozenset[Permission]:
    """Raises InvalidInputError for what is no permission, or one that only agents have."""
    known = set(Permission) - OF_AGENTS
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        what = f"'{unknown[0][:80]}' is no permission." if unknown else "A role needs a permission."
        raise InvalidInputError(what, hint=f"There are: {', '.join(sorted(known))}.", code="invalid_permission")
    return frozenset(Permission(name) for name in names)


def _binding(row: BindingRow, user: str) -> Binding:
    return Binding(
        id=row.id,
        user_id=row.user_id,
        user=user,
        role=row.role,
        scope=row.scope,
        effect=Effect(row.effect),
        starts_at_ms=row.starts_at_ms,
        expires_at_ms=row.expires_at_ms,
        created_by=row.created_by,
        created_at_ms=row.created_at_ms,
        reason=row.reason,
    )
