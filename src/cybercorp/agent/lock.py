"""One agent per state folder: a lock that the system lets go of when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import IO

from cybercorp.core.errors import ConflictError
from cybercorp.core.paths import ensure_private_dir

LOCK_FILE = "agent.lock"

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        file.seek(1024)  # beyond the text, so that others can read it
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


class StateLock:
    """Held from creation to `release`. Raises ConflictError (`agent_running`) that names the holder."""

    def __init__(self, directory: Path) -> None:
        self._path = ensure_private_dir(directory) / LOCK_FILE
        self._file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8")
        try:
            _lock(self._file)
        except OSError:
            holder = self._file.read(20).strip()
            self._file.close()
            raise ConflictError(
                f"Another agent{f' (pid {holder})' if holder.isdigit() else ''} already uses {directory}.",
                hint="Stop it, or give this one another name with --name.",
                code="agent_running",
            ) from None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{os.getpid()}\n")
        with contextlib.suppress(OSError):  # a full disk: the lock holds, only its text is missing
            self._file.flush()

    def release(self) -> None:
        """Let others have the folder."""
        self._file.close()
