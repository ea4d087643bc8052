"""Sessions: begun by a log-in, renewed by refresh tokens that are good once, looked up for every access token."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import NotFoundError, UnauthenticatedError
from cybercorp.core.ids import new_id
from cybercorp.protocol.audit import Decision
from cybercorp.protocol.logins import ClientType, Tokens
from cybercorp.protocol.permissions import VIEW, Permission
from cybercorp.protocol.sessions import Session
from cybercorp.security.tokens import TokenKind, new_token, token_hash, token_kind
from cybercorp.security.vault import Vault
from cybercorp.server.services.access_tokens import LIFETIME_S, AccessTokens
from cybercorp.server.services.audit import AuditService
from cybercorp.server.services.policy import Grant, Policy, Rights
from cybercorp.server.services.principals import Principal, PrincipalKind
from cybercorp.store.records.sessions import RefreshRow, SessionRepository, SessionRow
from cybercorp.store.records.users import UserRepository, UserRow

IDLE_MS = 30 * 60_000
LIFE_MS = 12 * 3_600_000
WALLBOARD_MS = 30 * 86_400_000
GRACE_MS = 10_000
RECHECK_S = 2.0
KEEP_MS = 90 * 86_400_000
MAX_KNOWN = 50_000


class _Known(msgspec.Struct, frozen=True):
    """What was read of a session, and when (monotonic seconds)."""

    session: SessionRow
    user: UserRow
    at: float


class SessionService:
    """What another instance ended is noticed within `RECHECK_S`; `on_ended` is called for what ends here."""

    def __init__(
        self,
        sessions: SessionRepository,
        users: UserRepository,
        tokens: AccessTokens,
        policy: Policy,
        audit: AuditService,
        vault: Vault,
        clock: Clock,
        *,
        factor_for_all: bool = False,
    ) -> None:
        """`factor_for_all`: whoever logs in without a second factor may only set one up."""
        self._sessions = sessions
        self._users = users
        self._tokens = tokens
        self._policy = policy
        self._audit = audit
        self._vault = vault
        self._clock = clock
        self._factor_for_all = factor_for_all
        self._known: dict[str, _Known] = {}
        self.on_ended: Callable[[list[str]], None] = lambda ids: None

    async def begin(
        self, user: UserRow, client: ClientType, network: str, user_agent: str, factors: frozenset[str]
    ) -> Tokens:
        """A new session. Whoever has just proven who they are need not do so again for five minutes.

        `user` is the account that was proven. Raises UnauthenticatedError where it is another one by the time that the
        session is there: what ends all sessions of an account has not seen this one.
        """
        now_ms = self._clock.now_ms()
        wallboard = client is ClientType.WALLBOARD
        session = SessionRow(
            id=new_id("session"),
            user_id=user.id,
            client=client,
            network=network,
            user_agent=user_agent[:200],
            created_at_ms=now_ms,
            seen_at_ms=now_ms,
            expires_at_ms=now_ms + (WALLBOARD_MS if wallboard else LIFE_MS),
            idle_ms=WALLBOARD_MS if wallboard else IDLE_MS,
            factors=factors,
            stepped_up_at_ms=None if wallboard else now_ms,
        )
        refresh = new_token(TokenKind.REFRESH)
        await self._sessions.create(session, token_hash(refresh))
        found = await self._users.find(user.id)
        if found is None or found.disabled_at_ms or found.password_hash != user.password_hash:
            await self.end("the account changed during the log-in", id=session.id)
            raise session_over()
        return await self._answer(session, user, refresh)

    async def refresh(self, token: str, network: str, user_agent: str) -> Tokens:
        """The successor of a refresh token. Raises UnauthenticatedError; for one that was used before the family ends.

        An answer that was lost on its way is given again for ten seconds, to the same client.
        """
        if token_kind(token) is not TokenKind.REFRESH:
            raise session_over()
        hashed, now_ms = token_hash(token), self._clock.now_ms()
        row = await self._sessions.find_refresh(hashed)
        session = await self._sessions.find(row.session_id) if row else None
        user = await self._users.find(session.user_id) if session else None
        if row is None or session is None or user is None or session.is_over(now_ms) or user.disabled_at_ms:
            raise session_over()
        successor = new_token(TokenKind.REFRESH)
        if row.used_at_ms is None:
            sealed = self._seal(successor, hashed)
            made = await self._sessions.refresh(hashed, token_hash(successor), lambda: sealed, now_ms, network)
            if made is not None:
                return await self._answer(msgspec.structs.replace(session, seen_at_ms=now_ms), user, successor)
            row = await self._sessions.find_refresh(hashed)
        again = await self._again(row, session, network, user_agent, now_ms)
        if again is None:
            await self._reused(session, user, network)
            raise session_over()
        return await self._answer(session, user, again)

    async def authenticate(self, token: str, network: str = "") -> Principal:
        """The person behind an access token, with today's rights. Raises UnauthenticatedError."""
        claims = await self._tokens.verify(token)
        known = self._known.get(claims.sid)
        now, now_ms = self._clock.monotonic(), self._clock.now_ms()
        if known is None or now - known.at >= RECHECK_S:
            known = await self._read(claims.sid, now)
        if known is None or known.user.id != claims.sub or known.session.is_over(now_ms) or known.user.disabled_at_ms:
            raise session_over()
        return self.principal(known.session, known.user, network)

    def principal(self, session: SessionRow, user: UserRow, network: str) -> Principal:
        """A session's principal; a wallboard's may only look."""
        rights = self._rights(user.id, session.client == ClientType.WALLBOARD)
        return Principal(
            kind=PrincipalKind.USER,
            id=user.id,
            name=user.name,
            rights=rights,
            looks_only=session.client == ClientType.WALLBOARD,
            session_id=session.id,
            network=network,
            factors=session.factors,
            stepped_up_at_ms=session.stepped_up_at_ms,
            factor_for_all=self._factor_for_all,
        )

    def rights_of(self, principal: Principal) -> Rights:
        """The rights that somebody has now."""
        return self._rights(principal.id, principal.looks_only)

    def _rights(self, user_id: str, looks_only: bool) -> Rights:
        rights = self._policy.rights_of(user_id)
        return rights.bounded(Grant(VIEW)) if looks_only else rights

    async def again(self, principal: Principal) -> Principal:
        """The same person as the session is now. Raises UnauthenticatedError where it is over."""
        known = await self._read(principal.session_id, self._clock.monotonic())
        if known is None or known.session.is_over(self._clock.now_ms()) or known.user.disabled_at_ms:
            raise session_over()
        return self.principal(known.session, known.user, principal.network)

    async def revoke(self, principal: Principal, session_id: str) -> None:
        """End a session: one's own, or with users:admin anybody's. Raises NotFoundError (`session_not_found`)."""
        row = await self.find(session_id)
        if row.user_id != principal.id and not principal.may(Permission.USERS_ADMIN):
            raise session_not_found()
        async with self._audit.intend(
            "session.revoke", actor=principal, target_kind="session", target_id=row.id, target=row.user_id
        ):
            await self.end("it was revoked", id=row.id)

    async def is_alive(self, session_id: str) -> bool:
        """Whether the session goes on: for sockets, which outlive access tokens."""
        known = await self._read(session_id, self._clock.monotonic())
        return known is not None and not known.session.is_over(self._clock.now_ms()) and not known.user.disabled_at_ms

    async def step_up(self, session_id: str, factors: frozenset[str]) -> None:
        """It was proven again who this is."""
        await self._sessions.step_up(session_id, self._clock.now_ms(), factors)
        self._known.pop(session_id, None)

    async def list_(self, user_id: str | None = None, this: str = "") -> list[Session]:
        """Sessions that are not over, of a user or of all."""
        names = {user.id: user.name for user in await self._users.list_()}
        rows = await self._sessions.list_(self._clock.now_ms(), user_id)
        return [
            Session(
                id=row.id,
                user_id=row.user_id,
                user=names.get(row.user_id, ""),
                client=ClientType(row.client),
                network=row.network,
                user_agent=row.user_agent,
                factors=sorted(row.factors),
                created_at_ms=row.created_at_ms,
                seen_at_ms=row.seen_at_ms,
                expires_at_ms=min(row.expires_at_ms, row.seen_at_ms + row.idle_ms),
                is_this=row.id == this,
            )
            for row in rows
        ]

    async def find(self, session_id: str) -> SessionRow:
        """Raises NotFoundError (`session_not_found`), also for one that is over."""
        row = await self._sessions.find(session_id)
        if row is None or row.is_over(self._clock.now_ms()):
            raise session_not_found()
        return row

    async def end(self, reason: str, *, id: str | None = None, user_id: str | None = None, but: str = "") -> list[str]:
        """End one session, or all of a user but one; their tokens and sockets with them. Returns the ids."""
        ended = await self._sessions.end(self._clock.now_ms(), reason, id=id, user_id=user_id, but=but)
        for one in ended:
            self._known.pop(one, None)
        if ended:
            self.on_ended(ended)
        return ended

    async def knows_network(self, user_id: str, network: str) -> bool:
        """Whether this user has logged in from there within 90 days."""
        return await self._sessions.knows_network(user_id, network, self._clock.now_ms() - KEEP_MS)

    async def forget_old(self) -> int:
        """Forget sessions that are over for 90 days; returns how many."""
        return await self._sessions.delete_before(self._clock.now_ms() - KEEP_MS)

    async def _answer(self, session: SessionRow, user: UserRow, refresh: str) -> Tokens:
        return Tokens(
            access_token=await self._tokens.sign(user.id, session.id),
            expires_in_s=LIFETIME_S,
            refresh_token=refresh,
            session_id=session.id,
            user=user.name,
        )

    async def _again(
        self, row: RefreshRow | None, session: SessionRow, network: str, user_agent: str, now_ms: int
    ) -> str | None:
        """The successor once more, where only its answer can have been lost."""
        if row is None or row.used_at_ms is None or row.successor is None:
            return None
        same = (network, user_agent[:200]) == (session.network, session.user_agent)
        if not same or not 0 <= now_ms - row.used_at_ms <= GRACE_MS:
            return None
        place = {"table": "refresh_tokens", "column": "successor", "row": row.hash}
        successor = self._vault.open(row.successor, **place).decode()
        following = await self._sessions.find_refresh(token_hash(successor))
        return successor if following is not None and following.used_at_ms is None else None

    async def _reused(self, session: SessionRow, user: UserRow, network: str) -> None:
        await self.end("a refresh token was used twice", id=session.id)
        await self._audit.record(
            "session.reuse",
            actor_name=user.name,
            decision=Decision.REFUSED,
            target_kind="session",
            target_id=session.id,
            target=user.name,
            network=network,
        )

    def _seal(self, successor: str, row: str) -> str:
        return self._vault.seal(successor.encode(), table="refresh_tokens", column="successor", row=row)

    async def _read(self, session_id: str, now: float) -> _Known | None:
        session = await self._sessions.find(session_id)
        user = await self._users.find(session.user_id) if session else None
        if session is None or user is None:
            self._known.pop(session_id, None)
            return None
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        known = self._known[session_id] = _Known(session, user, now)
        return known


def session_not_found() -> NotFoundError:
    return NotFoundError("There is no such session.", hint="List them: cybercorp sessions.", code="session_not_found")


def session_over() -> UnauthenticatedError:
    """Always the same, whatever the reason is."""
    return UnauthenticatedError("This session is over, or was ended.", hint="Log in again: cybercorp login.")
