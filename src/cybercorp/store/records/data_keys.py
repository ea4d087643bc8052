"""The table of data keys: each wrapped by the key-encryption key, which is stored elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from cybercorp.core.errors import ConflictError
from cybercorp.protocol.keys import DataKeyState as DataKeyState
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import DATA_KEYS


class DataKeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A data key. `kek_id` names the key-encryption key that wrapped it; a retired one is not there any more."""

    id: int
    wrapped: str
    kek_id: str
    state: str
    created_at_ms: int
    retired_at_ms: int | None = None


class DataKeyRepository:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def list_(self) -> list[DataKeyRow]:
        """All of them, oldest first."""
        async with self._connections.reading() as connection:
            found = (await connection.execute(select(DATA_KEYS).order_by(DATA_KEYS.c.id))).mappings()
            return [DataKeyRow(**row) for row in found]

    async def next_id(self) -> int:
        """The number that no key has had."""
        async with self._connections.reading() as connection:
            highest = (await connection.execute(select(func.max(DATA_KEYS.c.id)))).scalar_one_or_none()
        return (highest or 0) + 1

    async def add(self, row: DataKeyRow) -> None:
        """Keep a new key; where it is the current one, the one before is not any more, in one transaction.

        Raises ConflictError where another instance made a key with this number.
        """
        try:
            async with self._connections.writing() as connection:
                if row.state == DataKeyState.CURRENT:
                    before = update(DATA_KEYS).where(DATA_KEYS.c.state == DataKeyState.CURRENT)
                    await connection.execute(before.values(state=DataKeyState.OLD))
                await connection.execute(DATA_KEYS.insert().values(msgspec.structs.asdict(row)))
        except IntegrityError as error:
            raise ConflictError("Another instance has made this data key.", hint="Try again.") from error

    async def promote(self, id: int) -> None:
        """The coming key is the current one, and the one before is not any more."""
        async with self._connections.writing() as connection:
            coming = update(DATA_KEYS).where(DATA_KEYS.c.id == id, DATA_KEYS.c.state == DataKeyState.COMING)
            if (await connection.execute(coming.values(state=DataKeyState.CURRENT))).rowcount:
                others = update(DATA_KEYS).where(DATA_KEYS.c.id != id, DATA_KEYS.c.state == DataKeyState.CURRENT)
                await connection.execute(others.values(state=DataKeyState.OLD))

    async def rewrap(self, wrapped: Sequence[tuple[int, str]], kek_id: str) -> None:
        """The same keys under another key-encryption key, all or none."""
        async with self._connections.writing() as connection:
            for number, text in wrapped:
                statement = update(DATA_KEYS).where(DATA_KEYS.c.id == number)
                await connection.execute(statement.values(wrapped=text, kek_id=kek_id))

    async def retire(self, id: int, at_ms: int) -> None:
        """Nothing is sealed with this old key any more: forget it, keep its number."""
        statement = update(DATA_KEYS).where(DATA_KEYS.c.id == id, DATA_KEYS.c.state == DataKeyState.OLD)
        async with self._connections.writing() as connection:
            await connection.execute(statement.values(state=DataKeyState.RETIRED, wrapped="", retired_at_ms=at_ms))
