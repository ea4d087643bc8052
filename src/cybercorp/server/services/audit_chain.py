"""Checkpoints over the audit trail, and the check of the whole chain. No I/O here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cybercorp.protocol.audit import (
    GENESIS,
    AuditCheckpoint,
    AuditFinding,
    AuditVerification,
    checkpoint_bytes,
    record_hash,
)
from cybercorp.store.records.signing_keys import SigningKeyRow


def sign_checkpoint(
    last: AuditCheckpoint | None, time_ms: int, count: int, head: str, key: SigningKeyRow
) -> AuditCheckpoint:
    """The next checkpoint: the chain has `count` records and ends with `head`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    number = last.number + 1 if last else 1
    previous = checkpoint_hash(last) if last else GENESIS
    signed = checkpoint_bytes(number, time_ms, count, head, previous, key.id)
    signature = Ed25519PrivateKey.from_private_bytes(key.private_key).sign(signed).hex()
    return AuditCheckpoint(
        number=number,
        time_ms=time_ms,
        count=count,
        head=head,
        previous=previous,
        key_id=key.id,
        signature=signature,
    )


def checkpoint_hash(checkpoint: AuditCheckpoint) -> str:
    """What the next checkpoint names as its previous one."""
    return hashlib.sha256(_signed(checkpoint)).hexdigest()


class ChainCheck:
    """Takes the checkpoints, then the records in order; tells the first thing that is wrong.

    `keys` are the public keys (32 bytes) whose signatures are believed, by id. `seen` are hashes that another copy of
    the trail (the second sink) holds, by record id.
    """

    def __init__(
        self,
        checkpoints: Sequence[AuditCheckpoint],
        keys: Mapping[str, bytes],
        seen: Mapping[int, str] | None = None,
    ) -> None:
        self._heads: dict[int, AuditCheckpoint] = {}
        self._seen = seen or {}
        self._number = 0
        self._previous = GENESIS
        self._checkpoints = len(checkpoints)
        self.finding: AuditFinding | None = None
        self._check_checkpoints(checkpoints, keys)

    def take(self, rows: Iterable[Sequence[Any]]) -> bool:
        """Rows of the table in the order of its columns; False as soon as something is wrong."""
        if self.finding is not None:
            return False
        number, previous, heads, seen = self._number, self._previous, self._heads, self._seen
        for row in rows:
            number += 1
            if row[0] != number:
                return self._wrong(number, f"Record {number} is missing: {row[0]} follows {number - 1}.")
            if row[15] != previous:
                return self._wrong(number, f"Record {number} does not follow record {number - 1}.")
            try:
                previous = record_hash(*row[:16])
            except (TypeError, ValueError):
                return self._wrong(number, f"Record {number} holds what no record can hold.")
            if row[16] != previous:
                return self._wrong(number, f"Record {number} was changed: its hash is another one.")
            if number in heads and heads[number].head != previous:
                return self._wrong(
                    number, f"The records up to {number} are not those that checkpoint {heads[number].number} signed."
                )
            if seen and seen.get(number, previous) != previous:
                return self._wrong(number, f"Record {number} is not the one that the second copy holds.")
        self._number, self._previous = number, previous
        return True

    def finish(self) -> AuditVerification:
        """The result after the last record: nothing that was signed or copied may be missing."""
        if self.finding is None:
            signed = max(self._heads, default=0)
            copied = max(self._seen, default=0)
            if signed > self._number:
                self._wrong(
                    self._number + 1,
                    f"The records after {self._number} are missing: checkpoint {self._heads[signed].number} signed "
                    f"{signed}.",
                )
            elif copied > self._number:
                self._wrong(
                    self._number + 1,
                    f"The records after {self._number} are missing: the second copy holds {copied}.",
                )
        return AuditVerification(
            records=self._number, checkpoints=self._checkpoints, head=self._previous, finding=self.finding
        )

    def _wrong(self, record: int, reason: str) -> bool:
        self.finding = AuditFinding(record=record, reason=reason)
        return False

    def _check_checkpoints(self, checkpoints: Sequence[AuditCheckpoint], keys: Mapping[str, bytes]) -> None:
        last: AuditCheckpoint | None = None
        for number, one in enumerate(checkpoints, 1):
            follows = checkpoint_hash(last) if last else GENESIS
            if one.number != number or one.previous != follows or (last and one.count < last.count):
                self._wrong(one.count, f"Checkpoint {number} is missing or was changed.")
                return
            if not _is_signed(one, keys.get(one.key_id)):
                self._wrong(one.count, f"The signature of checkpoint {number} is wrong.")
                return
            known = self._heads.get(one.count)
            if known is not None and known.head != one.head:
                self._wrong(one.count, f"Checkpoints {known.number} and {number} contradict each other.")
                return
            if one.count:
                self._heads[one.count] = one
            last = one


def _is_signed(checkpoint: AuditCheckpoint, key: bytes | None) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if key is None:
        return False
    try:
        signature = bytes.fromhex(checkpoint.signature)
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _signed(checkpoint))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(one: AuditCheckpoint) -> bytes:
    return checkpoint_bytes(one.number, one.time_ms, one.count, one.head, one.previous, one.key_id)
