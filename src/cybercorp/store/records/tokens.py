"""The table of tokens: only their SHA-256 hashes, what they may do, and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import RowMapping, or_, select, update
from sqlalchemy.exc import IntegrityError

from cybercorp.core.errors import ConflictError
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import TOKENS


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A token. `used_at_ms` is of those that are good once, `expires_at_ms` None means it does not expire."""

    hash: str
    kind: str
    created_at_ms: int
    labels: dict[str, str] = {}
    used_at_ms: int | None = None
    expires_at_ms: int | None = None

    def is_usable(self, at_ms: int) -> bool:
        """Whether it can be used up now."""
        return self.used_at_ms is None and self.expires_at_ms is not None and self.expires_at_ms > at_ms


class TokenRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def create(
        self,
        kind: str,
        hash: str,
        at_ms: int,
        *,
        labels: Mapping[str, str] | None = None,
        expires_at_ms: int | None = None,
    ) -> TokenRow:
        """Keep a new token's hash. Raises ConflictError where it is known already."""
        [made] = await self.create_many(kind, [hash], at_ms, labels=labels, expires_at_ms=expires_at_ms)
        return made

    async def create_many(
        self,
        kind: str,
        hashes: Sequence[str],
        at_ms: int,
        *,
        labels: Mapping[str, str] | None = None,
        expires_at_ms: int | None = None,
    ) -> list[TokenRow]:
        """Keep the hashes of new tokens that are alike, all or none. Raises ConflictError where one is known."""
        made = [
            TokenRow(
                hash=hash,
                kind=kind,
                created_at_ms=at_ms,
                labels=dict(labels or {}),
                expires_at_ms=expires_at_ms,
            )
            for hash in hashes  # noqa: A001 - the column's name
        ]
        values = [{**msgspec.structs.asdict(one), "labels": msgspec.json.encode(one.labels).decode()} for one in made]
        try:
            async with self._connections.writing() as connection:
                await connection.execute(TOKENS.insert(), values)
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
        """Use it up, if it is not used up and has not expired, else None. Of any number of callers one gets it."""
        usable = (TOKENS.c.hash == hash, TOKENS.c.used_at_ms.is_(None), TOKENS.c.expires_at_ms > at_ms)
        statement = update(TOKENS).where(*usable).values(used_at_ms=at_ms).returning(TOKENS)
        async with self._connections.writing() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return _row(row) if row else None

    async def give_back(self, hash: str) -> None:
        """Undo one `use`: what it was taken for did not happen."""
        statement = update(TOKENS).where(TOKENS.c.hash == hash).values(used_at_ms=None)
        async with self._connections.writing() as connection:
            await connection.execute(statement)

    async def delete(self, hash: str) -> bool:
        """Whether there was one."""
        async with self._connections.writing() as connection:
            return (await connection.execute(TOKENS.delete().where(TOKENS.c.hash == hash))).rowcount > 0

    async def delete_kind(self, kind: str) -> int:
        """Every token of a kind; returns how many."""
        async with self._connections.writing() as connection:
            return (await connection.execute(TOKENS.delete().where(TOKENS.c.kind == kind))).rowcount

    async def delete_expired(self, at_ms: int) -> int:
        """Every token that can never be used again; returns how many."""
        dead = or_(TOKENS.c.expires_at_ms <= at_ms, TOKENS.c.used_at_ms.is_not(None))
        async with self._connections.writing() as connection:
            return (await connection.execute(TOKENS.delete().where(dead))).rowcount


def _row(row: RowMapping) -> TokenRow:
    return TokenRow(**{**row, "labels": msgspec.json.decode(row["labels"], type=dict[str, str])})
