"""The table of ceremonies that go on in a browser. What they hold is sealed by the service; here it is only text."""

from __future__ import annotations

import msgspec
from sqlalchemy import func, select, update

from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import CEREMONIES


class CeremonyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A ceremony, known by the hash of its ticket. `used_at_ms`: it is over."""

    hash: str
    kind: str
    user_id: str | None
    content: str
    created_at_ms: int
    expires_at_ms: int
    used_at_ms: int | None = None

    def __repr__(self) -> str:
        return f"CeremonyRow(kind={self.kind!r})"


class CeremonyRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def create(self, row: CeremonyRow) -> None:
        async with self._connections.writing() as connection:
            await connection.execute(CEREMONIES.insert(), [msgspec.structs.asdict(row)])

    async def find(self, hash: str) -> CeremonyRow | None:
        async with self._connections.reading() as connection:
            found = (await connection.execute(select(CEREMONIES).where(CEREMONIES.c.hash == hash))).mappings().first()
        return CeremonyRow(**found) if found else None

    async def change(self, row: CeremonyRow, content: str) -> bool:
        """Put other content in place of what `row` holds; False where somebody else was faster. One caller wins."""
        unchanged = (CEREMONIES.c.hash == row.hash, CEREMONIES.c.content == row.content)
        statement = update(CEREMONIES).where(*unchanged, CEREMONIES.c.used_at_ms.is_(None)).values(content=content)
        async with self._connections.writing() as connection:
            return (await connection.execute(statement)).rowcount > 0

    async def take(self, hash: str, at_ms: int) -> bool:
        """It is over; False where it was before. One caller wins."""
        unused = (CEREMONIES.c.hash == hash, CEREMONIES.c.used_at_ms.is_(None))
        async with self._connections.writing() as connection:
            return (await connection.execute(update(CEREMONIES).where(*unused).values(used_at_ms=at_ms))).rowcount > 0

    async def count(self, kind: str) -> int:
        """How many of a kind there are."""
        statement = select(func.count()).select_from(CEREMONIES).where(CEREMONIES.c.kind == kind)
        async with self._connections.reading() as connection:
            return int((await connection.execute(statement)).scalar_one())

    async def purge(self, now_ms: int) -> int:
        """Remove those whose time is over; returns how many."""
        statement = CEREMONIES.delete().where(CEREMONIES.c.expires_at_ms <= now_ms)
        async with self._connections.writing() as connection:
            return (await connection.execute(statement)).rowcount
