"""The second copy of the audit trail: a file of JSON lines, each on the disk before the record counts as written.

A line is `{"record": {…}}` or `{"checkpoint": {…}}`. The file is only appended to; it may be moved away at any time
(logrotate), a new one is begun then. Put it on another disk, or ship it to another machine.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from cybercorp.core.errors import StorageError, StorageFullError
from cybercorp.protocol.audit import AuditCheckpoint, AuditRecord

_FULL = (28, 122)  # ENOSPC, EDQUOT


class AuditLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    record: AuditRecord | None = None
    checkpoint: AuditCheckpoint | None = None


class AuditFile:
    """Appends lines durably. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._identity = (0, 0)
        self._length = 0

    def append(self, lines: Sequence[AuditLine]) -> None:
        """On the disk on return (fsync). Raises StorageError; then none of them is there, or will be."""
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        try:
            self._open()
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
            self._length += len(data)
        except OSError as error:
            # What could not be synced is never believed: cut it off, and begin with a fresh descriptor.
            if self._descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._length)
            self.close()
            kind = StorageFullError if error.errno in _FULL else StorageError
            raise kind(
                f"The audit file {self.path} cannot be written: {error.strerror or error}.",
                hint="Free some space or mend its rights: nothing is done that cannot be written down.",
            ) from error

    def close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        if self._descriptor >= 0:
            try:
                found = self.path.stat()
                moved = (found.st_dev, found.st_ino) != self._identity
            except FileNotFoundError:
                moved = True
            if not moved:
                return
            self.close()
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)
        self._length = _whole_length(self._descriptor, status.st_size)
        if self._length != status.st_size:  # a crash left part of a line
            os.ftruncate(self._descriptor, self._length)


def read_lines(path: Path) -> Iterator[AuditLine]:
    """The lines of a file, none where there is no such file. Raises StorageError for a line that is damaged."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return  # the part of a line that a crash left
                try:
                    yield msgspec.json.decode(line, type=AuditLine)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise StorageError(
                        f"Line {number} of {path} is no line of an audit trail.", hint="Compare it with a copy."
                    ) from error
    except FileNotFoundError:
        return


def _whole_length(descriptor: int, size: int) -> int:
    """How long the file is without the part of a line at its end."""
    at = size
    while at:
        start = max(0, at - 65536)
        found = os.pread(descriptor, at - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        at = start
    return 0
