"""The audit trail: who did what to whom, whether it was allowed, and what came of it.

Records form a chain: each carries the hash of the one before. Checkpoints over the chain are signed and form a chain
of their own.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

EXPORT_MEDIA_TYPE = "application/x-ndjson"
GENESIS = "0" * 64  # what the first record and the first checkpoint follow


class Decision(StrEnum):
    ALLOWED = "allowed"
    REFUSED = "refused"


class Outcome(StrEnum):
    """An action is written down twice: as an intent before it, as what came of it after it."""

    INTENT = "intent"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`operation` is `noun.verb`. `intent` is the id of the intent that this is the outcome of. Times are Unix ms.

    `hash` is the SHA-256 of the record's JSON without it, as `protocol.audit_lines` makes it: keys in this order,
    those of `detail` sorted, no spaces.
    """

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
    decision: Decision
    outcome: Outcome
    intent: int | None
    detail: dict[str, str]
    previous: str
    hash: str


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Records oldest first; `next_after` continues the list."""

    records: list[AuditRecord]
    next_after: int | None = None


class AuditCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Says that the chain had `count` records and ended with the hash `head`.

    `signature` is Ed25519 over `checkpoint_bytes`, in hexadecimal, by the key `key_id`. `previous` is the hash of the
    checkpoint before (of its signed bytes and its signature).
    """

    number: int
    time_ms: int
    count: int
    head: str
    previous: str
    key_id: str
    signature: str


class AuditKey(msgspec.Struct, frozen=True, kw_only=True):
    """Whose signatures on checkpoints are believed: the public half (32 bytes, hexadecimal)."""

    id: str
    public_key: str
    created_at_ms: int


class AuditLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A line of the second copy and of an export: one of the three."""

    record: AuditRecord | None = None
    checkpoint: AuditCheckpoint | None = None
    key: AuditKey | None = None


class AuditFinding(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing that is wrong: at this record (0: none in particular), and why, in a sentence."""

    record: int
    reason: str


class AuditVerification(msgspec.Struct, frozen=True, kw_only=True):
    """`finding` is None where everything is as it was written, from the record `first` to the last one, `records`.

    `head` is the hash of the last one.
    """

    first: int = 1
    records: int
    checkpoints: int
    head: str
    finding: AuditFinding | None = None


_ENCODER = msgspec.json.Encoder()


def checkpoint_bytes(number: int, time_ms: int, count: int, head: str, previous: str, key_id: str) -> bytes:
    """What is signed."""
    return b"cybercorp audit checkpoint\0" + _ENCODER.encode((number, time_ms, count, head, previous, key_id))
