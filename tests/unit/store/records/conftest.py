"""Open record tables, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from cybercorp.store.records.database import Records

_NUMBERS = count(1)


@pytest.fixture(params=["sqlite", "postgresql"])
async def records(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Records]:
    """Fresh for each test; on PostgreSQL a schema of its own in the database of the module."""
    if request.param == "sqlite":
        opened = await Records.open(tmp_path / "records.db")
    else:
        url = request.getfixturevalue("database_url")
        opened = await Records.connect(url, schema=f"records_{next(_NUMBERS)}")
    yield opened
    await opened.close()
