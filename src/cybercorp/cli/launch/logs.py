"""The log file of a child: bounded, rotated at start, and read for the words of a child that failed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cybercorp.core.errors import StorageUnwritableError
from cybercorp.core.paths import ensure_private_dir

ROTATE_BYTES = 1 << 20  # a longer log becomes `.1` at the next start
MOST_BYTES = 8 << 20  # and this much while the child runs: then the older half goes
_ENDING_BYTES = 16384


class ChildLog:
    """One child's stderr. The child writes straight into the file, so that no dead or stopped parent ever blocks it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._started_at = 0

    def open(self) -> int:
        """Rotate where it has grown, and return a descriptor that appends. Raises StorageUnwritableError."""
        ensure_private_dir(self.path.parent)
        try:
            if self.path.exists() and self.path.stat().st_size > ROTATE_BYTES:
                self.path.replace(self.path.with_suffix(".log.1"))
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise StorageUnwritableError(
                f"The log {self.path} cannot be written: {error.strerror}.", hint="Mend its rights and free space."
            ) from error
        self._started_at = os.fstat(descriptor).st_size
        return descriptor

    def bound(self) -> None:
        """Drop the older half of a log that has grown too long while its child runs."""
        with contextlib.suppress(OSError):
            if self.path.stat().st_size <= MOST_BYTES:
                return
            with self.path.open("r+b") as file:
                file.seek(-MOST_BYTES // 2, os.SEEK_END)
                kept = file.read()
                file.seek(0)
                file.write(kept)
                file.truncate()  # the child appends, so its next line stands behind the kept ones
            self._started_at = 0

    def failure(self) -> tuple[str, str]:
        """The last `error:` that the child wrote since it was opened, and its `hint:`; empty where there is none."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._started_at, size - _ENDING_BYTES))
                lines = file.read(_ENDING_BYTES).decode(errors="replace").splitlines()
        except OSError:
            return "", ""
        message = hint = ""
        for line in lines:
            if line.startswith("error: "):
                message, hint = line.removeprefix("error: "), ""
            elif line.startswith("hint: ") and message:
                hint = line.removeprefix("hint: ")
        return message, hint
