"""The second copy of the audit trail, read along with the trail itself."""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, BinaryIO

import msgspec

from cybercorp.core.errors import StorageCorruptError
from cybercorp.protocol.audit import AuditCheckpoint, AuditLine, AuditRecord
from cybercorp.protocol.audit_lines import row_of
from cybercorp.protocol.decoding import UNREADABLE

MAX_LINE_BYTES = 1 << 20
_BLOCK = 1 << 18
_DECODER = msgspec.json.Decoder(AuditLine)


def parse_line(line: bytes, number: int, shown: str) -> AuditLine:
    """Raises StorageCorruptError; `number` is that of the line, `shown` names the file."""
    try:
        return _DECODER.decode(line)
    except UNREADABLE as error:
        raise StorageCorruptError(
            f"Line {number} of {shown} is no line of an audit trail.", hint="Compare it with a copy."
        ) from error


class CopyReader:
    """Whole lines of a file, within its first `size` bytes (all where None): one by one, or many compared at once.

    The part of a line that a crash left at the end is no line; one of more than MAX_LINE_BYTES is cut there.
    """

    def __init__(self, file: BinaryIO | None = None, size: int | None = None) -> None:
        self._file = file or io.BytesIO()
        self._left = size if size is not None else 1 << 62
        self._buffer = b""
        self._at = 0

    def skip(self, lines: bytes) -> bool:
        """Whether the file goes on with exactly these lines; then they are behind it."""
        if len(self._buffer) - self._at < len(lines):
            self._fill(len(lines))
        same = self._buffer.startswith(lines, self._at)
        self._at += len(lines) if same else 0
        return same

    def line(self) -> bytes:
        """The next line without its line feed; none at the end. Raises OSError."""
        end = self._buffer.find(b"\n", self._at)
        while end < 0:
            here = len(self._buffer) - self._at
            if here > MAX_LINE_BYTES or not self._fill(here + _BLOCK):
                end = len(self._buffer) if here > MAX_LINE_BYTES else -1
                break
            end = self._buffer.find(b"\n", self._at)
        if end < 0:
            return b""
        line, self._at = self._buffer[self._at : end], end + 1
        return line or b" "  # an empty line is one, too

    def _fill(self, wanted: int) -> bool:
        """Have so many bytes ahead, or all there are; whether there came some."""
        more = self._file.read(min(self._left, max(_BLOCK, wanted)))
        self._left -= len(more)
        self._buffer, self._at = self._buffer[self._at :] + more, 0
        return bool(more)


class SecondCopy:
    """Compares bytes: only lines that are not what the server would write are looked into.

    The copy may begin later than the trail (the older one was moved away), and holds checkpoints between the records.
    """

    def __init__(self, reader: CopyReader, checkpoints: Sequence[AuditCheckpoint]) -> None:
        self._reader = reader
        self._checkpoints = checkpoints
        self._counts = sorted({one.count for one in checkpoints})
        self._line = 0
        self._at = 0  # the record that was read last
        self._waiting: AuditRecord | None = None  # it was read and not compared

    def compare(self, first: int, rows: Sequence[Sequence[Any]], lines: Sequence[bytes]) -> tuple[int, str] | None:
        """What does not agree with these rows, the first of which has the number `first`, written as `lines`.

        Raises StorageCorruptError for what is no line of an audit trail.
        """
        end = first + len(rows)
        while True:
            if self._waiting is not None:
                number = self._waiting.id
                if number >= end:
                    return None
                if number < first or tuple(rows[number - first]) != row_of(self._waiting):
                    return number, f"Record {number} is not the one that the second copy holds."
                self._waiting = None
            self._skip_equal(first, end, lines)
            if self._at and self._at + 1 >= end:
                return None
            line = self._reader.line()
            if not line:
                return None
            wrong = self._look(line)
            if wrong is not None:
                return wrong

    def finish(self) -> tuple[int, str] | None:
        """After the last row nothing may be left but checkpoints."""
        while self._waiting is None:
            line = self._reader.line()
            if not line:
                return None
            wrong = self._look(line)
            if wrong is not None:
                return wrong
        number = self._waiting.id
        return number, f"Record {number} and those after it are missing: the second copy holds them."

    def _skip_equal(self, first: int, end: int, lines: Sequence[bytes]) -> None:
        """Pass over what is as it should be, up to where a checkpoint stands between the records."""
        at = self._at + 1
        if not first <= at < end:
            return
        due = bisect_left(self._counts, at)
        until = min(end, self._counts[due] + 1) if due < len(self._counts) else end
        if self._reader.skip(b"\n".join(lines[at - first : until - first]) + b"\n"):
            self._at = until - 1
            self._line += until - at
            return
        for line in lines[at - first : until - first]:
            if not self._reader.skip(line + b"\n"):
                return
            self._at += 1
            self._line += 1

    def _look(self, line: bytes) -> tuple[int, str] | None:
        """A record into `_waiting`; a checkpoint must be one of the trail's."""
        self._line += 1
        parsed = parse_line(line, self._line, "the second copy")
        if parsed.record is not None:
            number = parsed.record.id
            if self._at and number != self._at + 1:
                wrong = min(number, self._at + 1)
                return wrong, f"The second copy is not whole: record {number} follows {self._at} there."
            self._at, self._waiting = number, parsed.record
            return None
        made = parsed.checkpoint
        if made is not None and self._checkpoints[made.number - 1 : made.number] != [made]:
            return made.count, f"Checkpoint {made.number} is not the one that the second copy holds."
        return None
