"""The tables of sessions and their refresh tokens: a family, of which one token at a time is good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import select, update

from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import REFRESH_TOKENS, SESSIONS


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it is stored. It ends at `expires_at_ms`, or `idle_ms` after it was last seen, or when told to."""

    id: str
    user_id: str
    client: str
    network: str
    user_agent: str
    created_at_ms: int
    seen_at_ms: int
    expires_at_ms: int
    idle_ms: int
    factors: frozenset[str] = frozenset()
    stepped_up_at_ms: int | None = None
    ended_at_ms: int | None = None
    ended_reason: str | None = None

    def is_over(self, now_ms: int) -> bool:
        """Whether nothing of it is good any more."""
        return self.ended_at_ms is not None or now_ms >= min(self.expires_at_ms, self.seen_at_ms + self.idle_ms)


class RefreshRow(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token, by its hash. `successor` is sealed for the row of `hash`."""

    hash: str
    session_id: str
    number: int
    created_at_ms: int
    used_at_ms: int | None = None
    successor: str | None = None


class SessionRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def create(self, session: SessionRow, token_hash: str) -> None:
        """A session with its first refresh token."""
        first = RefreshRow(hash=token_hash, session_id=session.id, number=1, created_at_ms=session.created_at_ms)
        async with self._connections.writing() as connection:
            await connection.execute(SESSIONS.insert().values(_values(session)))
            await connection.execute(REFRESH_TOKENS.insert().values(msgspec.structs.asdict(first)))

    async def find(self, id: str) -> SessionRow | None:
        """The session, also where it is over."""
        async with self._connections.reading() as connection:
            row = (await connection.execute(select(SESSIONS).where(SESSIONS.c.id == id))).mappings().first()
        return _session(row) if row else None

    async def list_(self, now_ms: int, user_id: str | None = None) -> list[SessionRow]:
        """Those that are not over, newest first; all, or those of one user."""
        statement = select(SESSIONS).where(SESSIONS.c.ended_at_ms.is_(None), SESSIONS.c.expires_at_ms > now_ms)
        statement = statement.where(SESSIONS.c.seen_at_ms + SESSIONS.c.idle_ms > now_ms)
        if user_id is not None:
            statement = statement.where(SESSIONS.c.user_id == user_id)
        statement = statement.order_by(SESSIONS.c.created_at_ms.desc(), SESSIONS.c.id)
        async with self._connections.reading() as connection:
            return [_session(row) for row in (await connection.execute(statement)).mappings()]

    async def knows_network(self, user_id: str, network: str, since_ms: int) -> bool:
        """Whether this user has begun a session from there since then."""
        statement = (
            select(SESSIONS.c.id)
            .where(SESSIONS.c.user_id == user_id, SESSIONS.c.network == network, SESSIONS.c.created_at_ms >= since_ms)
            .limit(1)
        )
        async with self._connections.reading() as connection:
            return (await connection.execute(statement)).first() is not None

    async def find_refresh(self, hash: str) -> RefreshRow | None:
        """The refresh token with this hash, also a used one."""
        async with self._connections.reading() as connection:
            statement = select(REFRESH_TOKENS).where(REFRESH_TOKENS.c.hash == hash)
            row = (await connection.execute(statement)).mappings().first()
        return RefreshRow(**row) if row else None

    async def refresh(
        self, hash: str, successor_hash: str, sealed: Callable[[], str], now_ms: int, network: str
    ) -> RefreshRow | None:
        """Use a token and keep its successor, in one transaction; None where it was used before, or is unknown.

        Of any number of callers, on any number of instances, one gets the row of the successor.
        """
        taken = (
            update(REFRESH_TOKENS)
            .where(REFRESH_TOKENS.c.hash == hash, REFRESH_TOKENS.c.used_at_ms.is_(None))
            .values(used_at_ms=now_ms, successor=sealed())
            .returning(REFRESH_TOKENS.c.session_id, REFRESH_TOKENS.c.number)
        )
        async with self._connections.writing() as connection:
            row = (await connection.execute(taken)).first()
            if row is None:
                return None
            made = RefreshRow(hash=successor_hash, session_id=row[0], number=row[1] + 1, created_at_ms=now_ms)
            await connection.execute(REFRESH_TOKENS.insert().values(msgspec.structs.asdict(made)))
            seen = update(SESSIONS).where(SESSIONS.c.id == made.session_id)
            await connection.execute(seen.values(seen_at_ms=now_ms))
            return made

    async def step_up(self, id: str, at_ms: int, factors: frozenset[str]) -> None:
        """It was proven again who this is."""
        statement = update(SESSIONS).where(SESSIONS.c.id == id)
        async with self._connections.writing() as connection:
            await connection.execute(statement.values(stepped_up_at_ms=at_ms, factors=" ".join(sorted(factors))))

    async def end(
        self, at_ms: int, reason: str, *, id: str | None = None, user_id: str | None = None, but: str = ""
    ) -> list[str]:
        """End a session, or all of a user (`but` one); returns the ids of those that were not over."""
        statement = update(SESSIONS).where(SESSIONS.c.ended_at_ms.is_(None), SESSIONS.c.id != but)
        if id is not None:
            statement = statement.where(SESSIONS.c.id == id)
        if user_id is not None:
            statement = statement.where(SESSIONS.c.user_id == user_id)
        if id is None and user_id is None:
            return []
        ended = statement.values(ended_at_ms=at_ms, ended_reason=reason).returning(SESSIONS.c.id)
        async with self._connections.writing() as connection:
            return list((await connection.execute(ended)).scalars().all())

    async def delete_before(self, time_ms: int) -> int:
        """Forget sessions that were over before then, and their tokens; returns how many."""
        over = (SESSIONS.c.ended_at_ms < time_ms) | (SESSIONS.c.expires_at_ms < time_ms)
        gone = select(SESSIONS.c.id).where(over)
        async with self._connections.writing() as connection:
            await connection.execute(REFRESH_TOKENS.delete().where(REFRESH_TOKENS.c.session_id.in_(gone)))
            return (await connection.execute(SESSIONS.delete().where(over))).rowcount


def _values(session: SessionRow) -> dict[str, Any]:
    return {**msgspec.structs.asdict(session), "factors": " ".join(sorted(session.factors))}


def _session(row: Any) -> SessionRow:
    return SessionRow(**{**row, "factors": frozenset(row["factors"].split())})
