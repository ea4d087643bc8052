"""Tokens of programs: never more than their owner may at the time, and bounded further where that was asked."""

from __future__ import annotations

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from cybercorp.core.ids import new_id
from cybercorp.protocol.permissions import OF_HOSTS, Permission
from cybercorp.protocol.roles import ApiToken, ApiTokenSecret, NewApiToken, parse_scope
from cybercorp.protocol.users import UserKind
from cybercorp.security.tokens import TokenKind, new_token, token_hash
from cybercorp.server.services.access import unknown_token
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.policy import Grant, Policy, Rights
from cybercorp.server.services.principals import Principal, PrincipalKind
from cybercorp.server.services.roles import RoleService, check_permissions
from cybercorp.store.records.api_tokens import ApiTokenRepository, ApiTokenRow
from cybercorp.store.records.users import UserRepository, UserRow

LONGEST_S = 366 * 86_400
MAX_TOKENS = 100
RECHECK_S = 2.0
USED_S = 60.0
MAX_KNOWN = 10_000


class _Known(msgspec.Struct, frozen=True):
    row: ApiTokenRow
    user: UserRow
    at: float


class ApiTokenService:
    """A token that was revoked by another instance is refused within `RECHECK_S`."""

    def __init__(
        self,
        tokens: ApiTokenRepository,
        users: UserRepository,
        roles: RoleService,
        policy: Policy,
        audit: AuditService,
        clock: Clock,
    ) -> None:
        self._tokens = tokens
        self._users = users
        self._roles = roles
        self._policy = policy
        self._audit = audit
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._noted: dict[str, float] = {}

    async def authenticate(self, token: str, network: str) -> Principal:
        """The program behind a token. Raises UnauthenticatedError."""
        hashed, now, now_ms = token_hash(token), self._clock.monotonic(), self._clock.now_ms()
        known = self._known.get(hashed)
        if known is None or now - known.at >= RECHECK_S:
            row = await self._tokens.find(hashed)
            user = await self._users.find(row.user_id) if row else None
            if row is None or user is None:
                self._known.pop(hashed, None)
                raise unknown_token()
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[hashed] = _Known(row, user, now)
        row, user = known.row, known.user
        if self._is_over(row, user):
            raise unknown_token()
        if now - self._noted.get(row.id, -USED_S) >= USED_S:
            self._noted[row.id] = now
            await self._tokens.set_used(row.id, now_ms)
        return Principal(
            kind=PrincipalKind.SERVICE,
            id=user.id,
            name=f"{user.name} ({row.name})",
            rights=self.rights_of(row, user),
            token_id=row.id,
            network=network,
        )

    async def again(self, principal: Principal) -> Principal | None:
        """The same program with the rights of now; None where its token is worth nothing any more."""
        row = await self._tokens.find_by_id(principal.token_id)
        user = await self._users.find(row.user_id) if row else None
        if row is None or user is None or self._is_over(row, user):
            return None
        return msgspec.structs.replace(principal, rights=self.rights_of(row, user))

    def _is_over(self, row: ApiTokenRow, user: UserRow) -> bool:
        late = row.expires_at_ms is not None and row.expires_at_ms <= self._clock.now_ms()
        return late or row.revoked_at_ms is not None or user.disabled_at_ms is not None

    def rights_of(self, row: ApiTokenRow, user: UserRow) -> Rights:
        """What its owner may now, within the token's own bounds."""
        rights = self._policy.rights_of(user.id)
        if row.permissions is not None:
            rights = rights.bounded(Grant(frozenset(one for one in Permission if one in row.permissions)))
        if row.scope:
            everything = frozenset(Permission)
            rights = rights.bounded(Grant(everything - OF_HOSTS), Grant(OF_HOSTS, parse_scope(row.scope)))
        return rights

    async def list_(self, principal: Principal, user: str | None = None) -> list[ApiToken]:
        """One's own; of a user, or of all with `*`, with users:view."""
        if user is not None:
            principal.require(Permission.USERS_VIEW)
        names = {row.id: row.name for row in await self._users.list_()}
        chosen = principal.id
        if user is not None:
            chosen = "" if user == "*" else (await self._users.get(user)).id
        return [_token(row, names.get(row.user_id, "")) for row in await self._tokens.list_(chosen or None)]

    async def create(self, actor: Principal, new: NewApiToken) -> ApiTokenSecret:
        """For oneself, or with users:admin for a service account.

        Raises InvalidInputError, NotFoundError, ForbiddenError, ConflictError, StorageError.
        """
        if actor.kind is PrincipalKind.SERVICE:
            raise ForbiddenError("A token makes no tokens.", hint="Log in: cybercorp login.", code="no_session")
        owner = await self._users.get(new.user) if new.user is not None else await self._users.get(actor.person())
        if owner.id != actor.id:
            actor.require(Permission.USERS_ADMIN)
            if owner.kind != UserKind.SERVICE:
                raise ForbiddenError(
                    "A token for another person cannot be made.",
                    hint="Make a service account: cybercorp users create NAME --service.",
                    code="not_a_service",
                )
            theirs = self._policy.rights_of(owner.id)
            until_ms = self._clock.now_ms() + new.expires_in_s * 1000
            if not all(actor.rights.covers(one, None, until_ms) for one in theirs.permissions()):
                raise ForbiddenError(f"{owner.name} may do more than you.", hint="Ask an admin.", code="grants_more")
        permissions = None if new.permissions is None else sorted(map(str, check_permissions(new.permissions)))
        scope = self._roles.check_scope(new.scope)
        if not 60 <= new.expires_in_s <= LONGEST_S:
            raise InvalidInputError("A token lasts a minute to a year.", hint="90 days are usual.")
        if not 0 < len(new.name.strip()) <= 64:
            raise InvalidInputError("A token needs a name of up to 64 characters.", hint="Say what it is for.")
        if len(await self._tokens.list_(owner.id)) >= MAX_TOKENS:
            raise ConflictError(f"{owner.name} has {MAX_TOKENS} tokens already.", hint="Revoke some.")
        now_ms, secret = self._clock.now_ms(), new_token(TokenKind.API)
        row = ApiTokenRow(
            id=new_id("token"),
            hash=token_hash(secret),
            user_id=owner.id,
            name=new.name.strip(),
            permissions=permissions,
            scope=scope,
            created_at_ms=now_ms,
            expires_at_ms=now_ms + new.expires_in_s * 1000,
        )
        async with self._audit.intend(
            "token.create",
            actor=actor,
            target_kind="token",
            target_id=row.id,
            target=owner.name,
            detail={"name": row.name, "permissions": " ".join(permissions or ["all"]), "scope": scope},
        ):
            await self._tokens.create(row)
        return ApiTokenSecret(token=secret, details=_token(row, owner.name))

    async def revoke(self, actor: Principal, id: str) -> None:
        """One's own, or with users:admin anybody's. Raises NotFoundError (`token_not_found`), StorageError."""
        row = next((one for one in await self._tokens.list_() if one.id == id), None)
        if row is None or (row.user_id != actor.id and not actor.may(Permission.USERS_ADMIN)):
            raise NotFoundError("There is no such token.", hint="List them: cybercorp tokens.", code="token_not_found")
        async with self._audit.intend(
            "token.revoke", actor=actor, target_kind="token", target_id=row.id, detail={"name": row.name}
        ):
            await self._tokens.revoke(self._clock.now_ms(), id=id)
            self._known.pop(row.hash, None)


def _token(row: ApiTokenRow, user: str) -> ApiToken:
    return ApiToken(
        id=row.id,
        user_id=row.user_id,
        user=user,
        name=row.name,
        permissions=row.permissions,
        scope=row.scope,
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
        used_at_ms=row.used_at_ms,
    )
