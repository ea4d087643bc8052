"""Users: made, changed, disabled and removed by whoever may; each change is audited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ConflictError, ForbiddenError, InvalidInputError
from cybercorp.core.ids import new_id
from cybercorp.protocol.logins import Account
from cybercorp.protocol.mfa import FactorKind
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.roles import Effect
from cybercorp.protocol.users import NewUser, User, UserChange, UserKind, check_user_name
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.passwords import Passwords, check_password
from cybercorp.server.services.policy import Policy
from cybercorp.server.services.principals import STEP_UP_MS, Principal, PrincipalKind
from cybercorp.server.services.sessions import SessionService
from cybercorp.store.records.api_tokens import ApiTokenRepository
from cybercorp.store.records.factors import FactorRepository, FactorRow
from cybercorp.store.records.roles import BindingRepository, BindingRow
from cybercorp.store.records.users import UserRepository, UserRow

MAX_USERS = 10_000


class UserService:
    def __init__(
        self,
        users: UserRepository,
        factors: FactorRepository,
        bindings: BindingRepository,
        tokens: ApiTokenRepository,
        sessions: SessionService,
        passwords: Passwords,
        policy: Policy,
        audit: AuditService,
        clock: Clock,
    ) -> None:
        self._users = users
        self._factors = factors
        self._bindings = bindings
        self._tokens = tokens
        self._sessions = sessions
        self._passwords = passwords
        self._policy = policy
        self._audit = audit
        self._clock = clock
        self._changing = asyncio.Lock()

    async def list_(self) -> list[User]:
        """All users by name."""
        factors, bindings = await self._factors.list_(), await self._bindings.list_()
        return [self._user(row, factors, bindings) for row in await self._users.list_()]

    async def get(self, id_or_name: str) -> User:
        """Raises NotFoundError (`user_not_found`)."""
        row = await self._users.get(id_or_name)
        return self._user(row, await self._factors.list_(row.id), await self._bindings.list_())

    async def create(self, actor: Principal, new: NewUser) -> User:
        """Raises InvalidInputError, ConflictError (`user_name_taken`), ForbiddenError (`grants_more`), StorageError."""
        name = check_user_name(new.name)
        if new.kind is UserKind.SERVICE and new.password is not None:
            raise InvalidInputError("A service account has no password.", hint="Make it a token: cybercorp tokens.")
        if new.password is not None:
            check_password(new.password, name)
        if new.role is not None:
            self.check_grant(actor, new.role)
        hashed = await self._passwords.hash(new.password) if new.password is not None else None
        now_ms = self._clock.now_ms()
        row = UserRow(
            id=new_id("user"),
            name=name,
            display_name=new.display_name[:200],
            kind=new.kind,
            created_at_ms=now_ms,
            password_hash=hashed,
            password_changed_at_ms=now_ms if hashed else None,
        )
        async with self._changing:
            if len(await self._users.list_()) >= MAX_USERS:
                raise ConflictError(f"There are {MAX_USERS} users already.", hint="Remove some: cybercorp users.")
            detail = {"kind": str(new.kind), "role": new.role or ""}
            async with self._audit.intend(
                "user.create", actor=actor, target_kind="user", target_id=row.id, target=name, detail=detail
            ):
                await self._users.create(row)
                if new.role is not None:
                    await self._bindings.create(self._binding(actor, row.id, new.role, now_ms))
                    await self._policy.load()
        return await self.get(row.id)

    async def change(self, actor: Principal, id_or_name: str, change: UserChange) -> User:
        """Raises NotFoundError, InvalidInputError (`weak_password`), ConflictError (`last_admin`), StorageError."""
        row = await self._users.get(id_or_name)
        self._check_power(actor, row, lasting=change.password is not None)
        if change.password is not None:
            if row.kind != UserKind.PERSON:
                raise InvalidInputError("A service account has no password.", hint="Make it a token.")
            check_password(change.password, row.name)
        changed = [field for field in change.__struct_fields__ if getattr(change, field) is not None]
        async with self._changing:
            if change.disabled:
                await self._keep_an_admin(actor, row)
            async with self._audit.intend(
                "user.change",
                actor=actor,
                target_kind="user",
                target_id=row.id,
                target=row.name,
                detail={"changed": " ".join(changed)}
                | ({"disabled": str(change.disabled)} if change.disabled is not None else {}),
            ):
                if change.display_name is not None:
                    await self._users.update(row.id, display_name=change.display_name[:200])
                if change.disabled is not None:
                    await self._users.update(row.id, disabled_at_ms=self._clock.now_ms() if change.disabled else None)
                if change.password is not None:
                    await self.set_password(row, change.password)
                if change.disabled or change.password is not None:
                    await self._sessions.end("an admin changed the account", user_id=row.id)
        return await self.get(row.id)

    async def remove(self, actor: Principal, id_or_name: str) -> None:
        """The name is never given again. Raises NotFoundError, ConflictError (`last_admin`), StorageError."""
        row = await self._users.get(id_or_name)
        self._check_power(actor, row, lasting=False)
        async with self._changing:
            await self._keep_an_admin(actor, row)
            async with self._audit.intend(
                "user.remove", actor=actor, target_kind="user", target_id=row.id, target=row.name
            ):
                await self._users.update(row.id, removed_at_ms=self._clock.now_ms(), password_hash=None)
                await self._factors.remove(row.id)
                await self._bindings.remove_for(row.id)
                await self._tokens.revoke(self._clock.now_ms(), user_id=row.id)
                await self._policy.load()
                await self._sessions.end("the user was removed", user_id=row.id)

    async def reset_factors(self, actor: Principal, id_or_name: str) -> int:
        """For somebody who has lost their second factors: they log in with the password alone, and set up new ones."""
        row = await self._users.get(id_or_name)
        self._check_power(actor, row, lasting=True)
        async with self._audit.intend(
            "user.reset_factors", actor=actor, target_kind="user", target_id=row.id, target=row.name
        ):
            removed = await self._factors.remove(row.id)
            await self._sessions.end("an admin removed the second factors", user_id=row.id)
        return removed

    async def set_password(self, row: UserRow, password: str) -> UserRow:
        """Whoever may has been asked already. Returns the user with it."""
        hashed = await self._passwords.hash(password)
        now_ms = self._clock.now_ms()
        return await self._users.update(row.id, password_hash=hashed, password_changed_at_ms=now_ms)

    async def account(self, principal: Principal) -> Account:
        """Who asks, and what they may."""
        user = None
        if principal.kind in (PrincipalKind.USER, PrincipalKind.SERVICE):
            user = await self.get(principal.id)
        stepped = principal.stepped_up_at_ms
        return Account(
            kind=principal.kind,
            name=principal.name,
            user=user,
            session_id=principal.session_id or None,
            factors=sorted(principal.factors),
            stepped_up_until_ms=stepped + STEP_UP_MS if stepped is not None else None,
            permissions=sorted(one for one in Permission if principal.may(one)),
        )

    def check_grant(self, actor: Principal, role: str) -> frozenset[Permission]:
        """The permissions of a role that `actor` may give away everywhere and for good.

        Raises InvalidInputError (`role_not_found`) and ForbiddenError (`grants_more`).
        """
        permissions = self._policy.roles.get(role)
        if permissions is None:
            known = ", ".join(sorted(self._policy.roles))
            raise InvalidInputError(
                f"There is no role '{role[:100]}'.", hint=f"There are: {known}.", code="role_not_found"
            )
        lacking = sorted(one for one in permissions if not actor.rights.lasts(one))
        if lacking:
            raise ForbiddenError(
                f"Nobody gives what they lack: {', '.join(lacking[:5])}.", hint="Ask an admin.", code="grants_more"
            )
        return permissions

    def _check_power(self, actor: Principal, row: UserRow, *, lasting: bool) -> None:
        """Whoever changes an account can become it: they need all that it has, as far, and if it lasts as long."""
        if not actor.rights.reaches(self._policy.rights_of(row.id), lasting=lasting):
            raise ForbiddenError(
                f"{row.name} may do more than you, on more hosts, or for longer.",
                hint="Ask an admin who has the same rights.",
                code="grants_more",
            )

    async def _keep_an_admin(self, actor: Principal, row: UserRow) -> None:
        if actor.kind is PrincipalKind.OWNER or not self._lasts(row):
            return
        if not any(one.id != row.id and one.may_log_in and self._lasts(one) for one in await self._users.list_()):
            raise ConflictError(
                f"{row.name} is the last one who may manage users.",
                hint="Make another admin first: cybercorp users create NAME --role admin.",
                code="last_admin",
            )

    def _lasts(self, row: UserRow) -> bool:
        return self._policy.rights_of(row.id).lasts(Permission.USERS_ADMIN)

    def _binding(self, actor: Principal, user_id: str, role: str, now_ms: int) -> BindingRow:
        return BindingRow(
            id=new_id("binding"),
            user_id=user_id,
            role=role,
            scope="",
            effect=Effect.ALLOW,
            starts_at_ms=now_ms,
            expires_at_ms=None,
            created_by=actor.name,
            created_at_ms=now_ms,
            reason="made with the user",
        )

    def _user(self, row: UserRow, factors: Sequence[FactorRow], bindings: Sequence[BindingRow]) -> User:
        kinds = {one.kind for one in factors if one.user_id == row.id and one.kind != FactorKind.RECOVERY}
        now_ms = self._clock.now_ms()
        roles = {
            one.role
            for one in bindings
            if one.user_id == row.id
            and one.effect == Effect.ALLOW
            and one.starts_at_ms <= now_ms
            and (one.expires_at_ms is None or one.expires_at_ms > now_ms)
        }
        return User(
            id=row.id,
            name=row.name,
            display_name=row.display_name,
            kind=UserKind(row.kind),
            created_at_ms=row.created_at_ms,
            disabled_at_ms=row.disabled_at_ms,
            has_password=row.password_hash is not None,
            factors=sorted(kinds),
            roles=sorted(roles),
        )
