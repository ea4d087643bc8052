"""The same tests on both databases: empty record tables, and a second server that opens them as well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path

import pytest

from cybercorp.store.postgres import Database
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.database import Records

Where = Path | Database
Another = Callable[[], Awaitable[Records]]
_NUMBERS = count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    """A place without tables."""
    if request.param == "sqlite":
        return tmp_path / "records.db"
    return Database(request.getfixturevalue("database_url"), f"contract_{next(_NUMBERS)}")


@pytest.fixture
async def records(where: Where) -> AsyncIterator[Records]:
    """Empty record tables."""
    made = await opened(where)
    yield made
    await made.close()


@pytest.fixture
async def another(where: Where, records: Records) -> AsyncIterator[Another]:
    """Opens the same tables once more, with connections of its own, as a second instance does.

    SQLite's file belongs to one server; there it is a second set of connections of the same one.
    """
    made: list[Records] = []

    async def open_again() -> Records:
        if isinstance(where, Database):
            made.append(await Records.connect(where.url, schema=where.schema, shared=True))
        else:
            made.append(Records(Connections(where), None, records.epoch))
        return made[-1]

    yield open_again
    for one in made:
        await one.close()


async def opened(where: Where) -> Records:
    """The tables of this place, made where they are not there."""
    if isinstance(where, Database):
        return await Records.connect(where.url, schema=where.schema)
    return await Records.open(where)
