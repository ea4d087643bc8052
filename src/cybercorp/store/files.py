"""What both local databases share: the checks before a file is opened, its lock, and SQLite's errors in our words.

It must not know what is in the files.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sqlite3
import sys
from pathlib import Path

from cybercorp.core.errors import (
    ConflictError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageNewerError,
    StorageUnwritableError,
)
from cybercorp.core.paths import ensure_private_dir

if sys.platform != "win32":
    import fcntl
    import resource

_LITTLE_BYTES = 16 * 1024**2
_HEADER = b"SQLite format 3\x00"
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNWRITABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


def check_database_file(path: Path) -> int:
    """Make the folder of `path`, refuse a file that cannot be a database of ours, and return its size in bytes.

    Raises StorageUnwritableError and StorageCorruptError.
    """
    ensure_private_dir(path.parent)
    try:
        with path.open("rb+") as file:
            head = file.read(len(_HEADER))
            size = file.seek(0, os.SEEK_END)
    except FileNotFoundError:
        path.touch(mode=0o600)
        return 0
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error
    if head and head != _HEADER:
        raise corrupt(path, "it is not a database")
    return size


def move_away_hint(path: Path) -> str:
    """What a person does with a file that cannot be used."""
    command = f"mv {shlex.quote(str(path))} {shlex.quote(f'{path}.damaged')}"
    return f"Move it away and start again: {command} (history before now is lost)."


def corrupt(path: Path, reason: str) -> StorageCorruptError:
    return StorageCorruptError(f"{path} cannot be used: {reason}.", hint=move_away_hint(path))


def newer(path: Path, found: object, known: object) -> StorageNewerError:
    return StorageNewerError(
        f"{path} was written by a newer CyberCorp (schema {found}; this version knows {known}).",
        hint="Install that version, or name another folder with --data-dir.",
    )


def unwritable(path: Path, reason: str) -> StorageUnwritableError:
    return StorageUnwritableError(
        f"{path} cannot be written: {reason}.", hint="Mend its rights, or name another folder with --data-dir."
    )


def full(path: Path) -> StorageFullError:
    return StorageFullError(
        f"No space is left for {path}.", hint="Free some space; agents keep their samples and send them again."
    )


def storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    """SQLite's error as one of ours (https://www.sqlite.org/rescode.html)."""
    extended = getattr(error, "sqlite_errorcode", None) or 0
    primary = extended & 0xFF
    if primary == sqlite3.SQLITE_FULL or (extended == sqlite3.SQLITE_IOERR_WRITE and _is_limited(path)):
        return full(path)
    if primary in _CORRUPT:
        return corrupt(path, "it is no database" if primary == sqlite3.SQLITE_NOTADB else "it is damaged")
    if primary == sqlite3.SQLITE_ERROR:  # our statements are right, so the tables are not
        return corrupt(path, f"its tables are damaged ({error})")
    if primary in _UNWRITABLE:
        return unwritable(path, str(error))
    return StorageError(f"{path} could not be used: {error}.", hint="Check the disk; the server tries again by itself.")


def _is_limited(path: Path) -> bool:
    """Whether a failed write is for want of space: SQLite calls a full quota or RLIMIT_FSIZE an input/output error."""
    if sys.platform == "win32":
        return False
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return limit != resource.RLIM_INFINITY or shutil.disk_usage(path.parent).free < _LITTLE_BYTES


class FileLock:
    """One process owns a database: two that checkpoint the same file can damage it (SQLite before 3.51.3)."""

    def __init__(self, path: Path) -> None:
        """Take the lock of `path`. Raises ConflictError with code `storage_in_use` where another holds it."""
        self._path = path.with_name(path.name + ".lock")
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise ConflictError(
                f"Another CyberCorp server uses {path}.",
                hint="Stop it first, or name another folder with --data-dir.",
                code="storage_in_use",
            ) from None

    def release(self) -> None:
        """Give the lock back; the empty lock file stays, because removing it would race with the next owner."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
