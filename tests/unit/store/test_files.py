"""What both databases share before they are opened."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from cybercorp.core.errors import (
    ConflictError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageUnwritableError,
)
from cybercorp.store.files import FileLock, check_database_file, storage_error


def test_a_new_file_is_private(tmp_path: Path) -> None:
    """Nobody else on the machine can read what is stored; its folder neither."""
    path = tmp_path / "data" / "samples.db"
    assert check_database_file(path) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_name_with_blanks_can_be_pasted(tmp_path: Path) -> None:
    """The command in the hint is quoted for a shell."""
    path = tmp_path / "my data" / "samples.db"
    path.parent.mkdir()
    path.write_text("no database")
    with pytest.raises(StorageCorruptError) as caught:
        check_database_file(path)
    assert f"mv '{path}' '{path}.damaged'" in caught.value.hint


def test_a_lock_is_given_back(tmp_path: Path) -> None:
    """One at a time; after the first is done the next one gets it."""
    first = FileLock(tmp_path / "samples.db")
    with pytest.raises(ConflictError):
        FileLock(tmp_path / "samples.db")
    first.release()
    FileLock(tmp_path / "samples.db").release()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_FULL, StorageFullError),
        (sqlite3.SQLITE_CORRUPT_VTAB, StorageCorruptError),
        (sqlite3.SQLITE_NOTADB, StorageCorruptError),
        (sqlite3.SQLITE_ERROR, StorageCorruptError),
        (sqlite3.SQLITE_READONLY, StorageUnwritableError),
        (sqlite3.SQLITE_CANTOPEN, StorageUnwritableError),
        (sqlite3.SQLITE_IOERR_WRITE, StorageError),
        (sqlite3.SQLITE_IOERR_FSYNC, StorageError),
        (sqlite3.SQLITE_BUSY, StorageError),
    ],
)
def test_errors_have_our_classes(tmp_path: Path, code: int, expected: type[StorageError]) -> None:
    """Each of SQLite's errors becomes the one that says what to do."""
    error = sqlite3.OperationalError("something")
    error.sqlite_errorcode = code
    made = storage_error(tmp_path / "samples.db", error)
    assert type(made) is expected
    assert str(tmp_path / "samples.db") in made.message
    assert made.hint
