"""The table of tokens: only their SHA-256 hashes, what they may do, and how often."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import RowMapping, or_, select, update
from sqlalchemy.exc import IntegrityError

from cybercorp.core.errors import ConflictError
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import TOKENS


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A token. `uses_left` None means without limit, `expires_at_ms` None means it does not expire."""

    hash: str
    kind: str
    created_at_ms: int
    host_id: str | None = None
    labels: dict[str, str] = {}
    uses_left: int | None = None
    expires_at_ms: int | None = None


class TokenRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def create(
        self,
        kind: str,
        hash: str,
        at_ms: int,
        *,
        host_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        uses: int | None = None,
        expires_at_ms: int | None = None,
    ) -> TokenRow:
        """Keep a new token's hash. Raises ConflictError where it is known already."""
        made = TokenRow(
            hash=hash,
            kind=kind,
            created_at_ms=at_ms,
            host_id=host_id,
            labels=dict(labels or {}),
            uses_left=uses,
            expires_at_ms=expires_at_ms,
        )
        values = {**msgspec.structs.asdict(made), "labels": msgspec.json.encode(made.labels).decode()}
        try:
            async with self._connections.writing() as connection:
                await connection.execute(TOKENS.insert().values(values))
        except IntegrityError as error:
            raise ConflictError("This token exists already.", hint="Make a new one.") from error
        return made

    async def find(self, hash: str) -> TokenRow | None:
        """The token with this hash, also when it has expired or is used up: the caller decides."""
        async with self._connections.reading() as connection:
            row = (await connection.execute(select(TOKENS).where(TOKENS.c.hash == hash))).mappings().first()
        return _row(row) if row else None

    async def list_(self, kind: str | None = None) -> list[TokenRow]:
        """All tokens, or those of one kind, newest first."""
        statement = select(TOKENS).order_by(TOKENS.c.created_at_ms.desc(), TOKENS.c.hash)
        if kind is not None:
            statement = statement.where(TOKENS.c.kind == kind)
        async with self._connections.reading() as connection:
            return [_row(row) for row in (await connection.execute(statement)).mappings()]

    async def use(self, hash: str, at_ms: int) -> TokenRow | None:
        """Take one use, if one is left and the token has not expired, else None. Two callers never share a use."""
        usable = (
            TOKENS.c.hash == hash,
            or_(TOKENS.c.uses_left.is_(None), TOKENS.c.uses_left > 0),
            or_(TOKENS.c.expires_at_ms.is_(None), TOKENS.c.expires_at_ms > at_ms),
        )
        statement = update(TOKENS).where(*usable).values(uses_left=TOKENS.c.uses_left - 1).returning(TOKENS)
        async with self._connections.writing() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return _row(row) if row else None

    async def give_back(self, hash: str) -> None:
        """Undo one `use`: what it was taken for did not happen."""
        statement = update(TOKENS).where(TOKENS.c.hash == hash).values(uses_left=TOKENS.c.uses_left + 1)
        async with self._connections.writing() as connection:
            await connection.execute(statement)

    async def delete(self, hash: str) -> bool:
        """Whether there was one."""
        async with self._connections.writing() as connection:
            return (await connection.execute(TOKENS.delete().where(TOKENS.c.hash == hash))).rowcount > 0

    async def delete_for_host(self, host_id: str) -> int:
        """Every token of a host; returns how many."""
        async with self._connections.writing() as connection:
            return (await connection.execute(TOKENS.delete().where(TOKENS.c.host_id == host_id))).rowcount

    async def delete_kind(self, kind: str) -> int:
        """Every token of a kind; returns how many."""
        async with self._connections.writing() as connection:
            return (await connection.execute(TOKENS.delete().where(TOKENS.c.kind == kind))).rowcount

    async def delete_expired(self, at_ms: int) -> int:
        """Every token that can never be used again; returns how many."""
        dead = or_(TOKENS.c.expires_at_ms <= at_ms, TOKENS.c.uses_left <= 0)
        async with self._connections.writing() as connection:
            return (await connection.execute(TOKENS.delete().where(dead))).rowcount


def _row(row: RowMapping) -> TokenRow:
    return TokenRow(**{**row, "labels": msgspec.json.decode(row["labels"], type=dict[str, str])})
