"""A record of the audit trail as a line of the second copy, and its hash: the one text that is hashed and compared.

A line is what `AuditLine` encodes: `{"record":{"id":1,…,"previous":"…","hash":"…"}}`. What is hashed is the record on
it without its hash, so that anybody can check a line: `jq -cj '.record|del(.hash)' | sha256sum`.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from cybercorp.protocol.audit import GENESIS, AuditRecord

_DETAIL = AuditRecord.__struct_fields__.index("detail")
_HASH = AuditRecord.__struct_fields__.index("hash")
_BEFORE = len(b'{"record":')
_AFTER = len(b',"hash":""}}') + len(GENESIS)
_ENCODER = msgspec.json.Encoder()
_SORTED = msgspec.json.Encoder(order="sorted")


class _Row(msgspec.Struct, gc=False):
    """An `AuditRecord` whose detail is JSON, as it is stored."""

    id: int
    time_ms: int
    operation: str
    actor_kind: str
    actor_id: str
    actor: str
    session_id: str
    network: str
    target_kind: str
    target_id: str
    target: str
    decision: str
    outcome: str
    intent: int | None
    detail: msgspec.Raw
    previous: str
    hash: str


class _Line(msgspec.Struct, gc=False):
    record: _Row


def record_line(row: Sequence[Any]) -> bytes:
    """The columns of the table as a line, without the line feed.

    Raises TypeError and ValueError for values that no record has.
    """
    return _ENCODER.encode(_line(row))


def record_lines(rows: Sequence[Sequence[Any]]) -> list[bytes]:
    """The same of many. There are more lines than rows where a detail was stored with line feeds, as none ever is."""
    return _ENCODER.encode_lines([_line(row) for row in rows]).split(b"\n")[:-1]


def line_hash(line: bytes) -> str:
    """The SHA-256, hexadecimal, of the record on this line; it means nothing where the hash on the line has another
    length.
    """
    return sha256(line[_BEFORE:-_AFTER] + b"}").hexdigest()


def record_hash(row: Sequence[Any]) -> str:
    """The hash of a record, of which all columns but the hash are given. Raises TypeError and ValueError."""
    return line_hash(record_line((*row[:_HASH], GENESIS)))


def row_of(record: AuditRecord) -> tuple[Any, ...]:
    """A record as the table holds it: its values in the order of the columns."""
    values = msgspec.structs.astuple(record)
    return (*values[:_DETAIL], detail_text(record.detail), *values[_DETAIL + 1 :])


def detail_text(detail: dict[str, str]) -> str:
    """The detail as it is stored and hashed: JSON with sorted keys."""
    return _SORTED.encode(detail).decode()


def _line(row: Sequence[Any]) -> _Line:
    "".join((row[_DETAIL], *row[2:13]))  # TypeError for what is no text: bytes would look like their base64
    made = _Row(*row)
    made.detail = msgspec.Raw(row[_DETAIL])
    return _Line(made)
