"""Refusing `records.db` where it is no database of ours, or damaged. What both databases promise: tests/contract."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest

from cybercorp.core.errors import (
    StorageCorruptError,
    StorageUnwritableError,
)
from cybercorp.store.records.database import Records


def _tables(path: Path) -> set[str]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


async def test_no_database(tmp_path: Path) -> None:
    """A text file in its place is named and left alone."""
    path = tmp_path / "records.db"
    path.write_text("these are my notes, not a database")
    with pytest.raises(StorageCorruptError) as caught:
        await Records.open(path)
    assert f"mv {path} {path}.damaged" in caught.value.hint
    assert path.read_text().startswith("these are")


async def test_a_database_of_another_program(tmp_path: Path) -> None:
    """It is refused and left as it was."""
    path = tmp_path / "records.db"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE notes (text)")
    with pytest.raises(StorageCorruptError, match="another program"):
        await Records.open(path)
    assert _tables(path) == {"notes"}


async def test_damaged_pages(tmp_path: Path) -> None:
    """Found at the start, not in the middle of the night."""
    path = tmp_path / "records.db"
    await (await Records.open(path)).close()
    data = bytearray(path.read_bytes())
    data[4096 : 4096 * 4] = random.Random(1).randbytes(4096 * 3)
    path.write_bytes(data)
    with pytest.raises(StorageCorruptError, match="damaged"):
        await Records.open(path)


async def test_an_unwritable_folder(tmp_path: Path) -> None:
    """It is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnwritableError):
        await Records.open(tmp_path / "file" / "records.db")
