"""Files of the audit trail, its second copy and its exports: reading them, and checking one without a server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cybercorp.core.errors import InvalidInputError, StorageError
from cybercorp.protocol.audit import AuditCheckpoint, AuditLine, AuditVerification
from cybercorp.protocol.audit_lines import row_of
from cybercorp.security.audit_chain import ChainCheck, is_signed
from cybercorp.security.audit_copy import CopyReader, parse_line
from cybercorp.security.display import safe_text

_BATCH = 2_000


@contextlib.contextmanager
def open_copy(path: Path, size: int | None = None) -> Iterator[CopyReader]:
    """Read its first `size` bytes (all where None); there are none where there is no such file. Raises StorageError."""
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(path.open("rb")) if path.exists() else None
            yield CopyReader(file, size)
    except OSError as error:
        raise StorageError(
            f"{safe_text(str(path), 300)} cannot be read: {error.strerror}.", hint="Check its rights."
        ) from error


def read_lines(path: Path) -> Iterator[AuditLine]:
    """What is on the whole lines, none where there is no such file.

    Raises StorageCorruptError for a line that is damaged, StorageError where it cannot be read.
    """
    shown = safe_text(str(path), 300)
    with open_copy(path) as reader:
        number = 0
        while line := reader.line():
            number += 1
            yield parse_line(line, number, shown)


def verify_file(
    path: Path, *, keys: Iterable[str] = (), anchor: tuple[int, str] | None = None
) -> tuple[AuditVerification, bool]:
    """Check an export or a second copy. `keys` are public keys (64 hexadecimal digits) as the server told them before.

    Returns what was found, and whether `keys` vouch for it: without them the keys in the file are taken, which shows
    mistakes and damage but not a forgery of the whole file. A copy may begin in the middle of the trail, as one does
    that was begun after a rotation; what was before it is not checked then. An export is whole.

    Raises InvalidInputError where there is no such file or no key, StorageCorruptError for a line that is damaged.
    """
    if not path.is_file():
        raise InvalidInputError(f"There is no file {safe_text(str(path), 300)}.", hint="Name an export or a copy.")
    given = {key.lower() for key in keys}
    checkpoints: list[AuditCheckpoint] = []
    told: dict[str, bytes] = {}
    start = (0, "")
    for line in read_lines(path):
        if line.checkpoint is not None:
            checkpoints.append(line.checkpoint)
        elif line.key is not None:
            told[line.key.id] = _public_key(line.key.public_key)
        elif line.record is not None and not start[1]:
            start = (line.record.id - 1, line.record.previous)
    known = {_public_key(key) for key in given}
    if checkpoints and not told and not known:
        raise InvalidInputError(
            "The file holds no key that its signatures could be checked with.",
            hint="Ask the server: cybercorp audit keys. Then give each with --key.",
            code="audit_key_missing",
        )
    trusted = {name: key for name, key in told.items() if key in known} if known else told
    for one in checkpoints:  # a copy tells which key signed by its id only
        if known and one.key_id not in told:
            trusted[one.key_id] = _signer(one, known)
    check = ChainCheck(
        checkpoints,
        {**told, **trusted},
        believed=set(trusted),
        anchor=anchor,
        start=start if start[1] and not told else None,
    )
    for rows in _rows(path):
        if not check.take(rows):
            break
    return check.finish(), bool(known)


def _signer(checkpoint: AuditCheckpoint, keys: Iterable[bytes]) -> bytes:
    return next((key for key in keys if is_signed(checkpoint, key)), b"")


def _rows(path: Path) -> Iterator[Sequence[Sequence[Any]]]:
    rows: list[Sequence[Any]] = []
    for line in read_lines(path):
        if line.record is not None:
            rows.append(row_of(line.record))
        if len(rows) == _BATCH:
            yield rows
            rows = []
    if rows:
        yield rows


def _public_key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise InvalidInputError(
            "A key of the audit trail has 64 hexadecimal digits.", hint="Ask the server: cybercorp audit keys."
        )
    return key
