"""The second copy of the audit trail: a file of JSON lines, each on the disk before the record counts as written.

A line is an `AuditLine`. The file is only appended to; it may be moved away at any time (logrotate), a new one is begun
then. Put it on another disk, or ship it to another machine.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from cybercorp.core.errors import StorageError, StorageFullError
from cybercorp.protocol.audit import AuditLine
from cybercorp.protocol.decoding import UNREADABLE

_FULL = (28, 122)  # ENOSPC, EDQUOT
_BLOCK = 65536
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)  # Windows would translate line feeds


class AuditFile:
    """Appends lines durably. Not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._identity = (0, 0)
        self._length = 0
        self._last: int | None = None

    def last_id(self) -> int | None:
        """The record that was appended last, by us or before us; None for a file that has none. Raises StorageError."""
        with self._errors():
            self._open()
        return self._last

    def append(self, lines: Sequence[AuditLine]) -> None:
        """On the disk on return (fsync). Raises StorageError; then none of them is there, or will be."""
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        with self._errors():
            self._open()
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
            self._length += len(data)
            self._last = next((one.record.id for one in reversed(lines) if one.record is not None), self._last)

    def close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
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
        self._descriptor = os.open(self.path, _FLAGS, 0o600)
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)
        self._length = _line_start(self._descriptor, status.st_size)
        if self._length != status.st_size:  # a crash left part of a line
            os.ftruncate(self._descriptor, self._length)
        found_last = self._find_last()
        self._last = found_last if found_last is not None else self._last

    def _find_last(self) -> int | None:
        end = self._length
        while end > 0:
            start = _line_start(self._descriptor, end - 1)
            try:
                line = msgspec.json.decode(_read(self._descriptor, end - start, start), type=AuditLine)
            except UNREADABLE:
                return None  # damaged, which `verify` tells
            if line.record is not None:
                return line.record.id
            end = start
        return None


def file_size(path: Path) -> int:
    """How many bytes it has now; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _line_start(descriptor: int, end: int) -> int:
    """Where the line begins that the byte `end` belongs to: behind the last line feed before it."""
    while end > 0:
        start = max(0, end - _BLOCK)
        found = _read(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _read(descriptor: int, length: int, start: int) -> bytes:
    """Appending writes at the end wherever this has left the position."""
    os.lseek(descriptor, start, os.SEEK_SET)
    return os.read(descriptor, length)
