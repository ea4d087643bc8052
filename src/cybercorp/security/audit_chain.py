"""Checkpoints over the audit trail, and the check of the whole chain. No I/O here; the server and auditors use it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any

from cybercorp.protocol.audit import (
    GENESIS,
    AuditCheckpoint,
    AuditFinding,
    AuditVerification,
    checkpoint_bytes,
)
from cybercorp.protocol.audit_lines import line_hash, record_hash, record_line, record_lines
from cybercorp.security.audit_copy import CopyReader, SecondCopy

_ID, _PREVIOUS, _HASH = 0, 15, 16  # columns of a row


def sign_checkpoint(
    last: AuditCheckpoint | None, time_ms: int, count: int, head: str, key_id: str, private_key: bytes
) -> AuditCheckpoint:
    """The next checkpoint: the chain has `count` records and ends with `head`. The key is 32 bytes (RFC 8032)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    number = last.number + 1 if last else 1
    previous = checkpoint_hash(last) if last else GENESIS
    signed = checkpoint_bytes(number, time_ms, count, head, previous, key_id)
    return AuditCheckpoint(
        number=number,
        time_ms=time_ms,
        count=count,
        head=head,
        previous=previous,
        key_id=key_id,
        signature=Ed25519PrivateKey.from_private_bytes(private_key).sign(signed).hex(),
    )


def public_half(private_key: bytes) -> bytes:
    """The public key of a private one, 32 bytes each."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


def checkpoint_hash(checkpoint: AuditCheckpoint) -> str:
    """What the next checkpoint names as its previous one: what was signed, and the signature."""
    return sha256(_signed(checkpoint) + checkpoint.signature.encode()).hexdigest()


class ChainCheck:
    """Takes the checkpoints, then the records in order; tells the first thing that is wrong.

    `keys` are public keys (32 bytes) by id, `believed` the ids that the last checkpoint may be signed with (all where
    None): it vouches for those before it, signatures included, so that of each key only the last signature is checked.
    `copy` is the second copy; it may begin later than the trail, and must agree with it from there on. `anchor` is
    (count, head) as somebody noted it. `start` is (count, head) that is believed: what is behind it is checked.
    """

    def __init__(
        self,
        checkpoints: Sequence[AuditCheckpoint],
        keys: Mapping[str, bytes],
        *,
        believed: Collection[str] | None = None,
        copy: CopyReader | None = None,
        anchor: tuple[int, str] | None = None,
        start: tuple[int, str] | None = None,
    ) -> None:
        self._checkpoints = checkpoints
        self._heads: dict[int, tuple[str, str]] = {anchor[0]: (anchor[1], "the head that was noted")} if anchor else {}
        self._copy = SecondCopy(copy or CopyReader(), checkpoints)
        self._start, self._previous = start or (0, GENESIS)
        self._number = self._start
        self.finding: AuditFinding | None = None
        self._check_checkpoints(keys, keys if believed is None else believed)
        self._counts = sorted(self._heads)

    def take(self, rows: Sequence[Sequence[Any]]) -> bool:
        """Rows of the table in the order of its columns; False as soon as something is wrong."""
        if self.finding is not None:
            return False
        lines = self._lines_of_sound(rows)
        if lines is None:
            lines = self._find_wrong(rows)
        if lines is None or not rows:
            return not rows
        wrong = self._copy.compare(self._number + 1, rows, lines)
        self._number, self._previous = rows[-1][_ID], rows[-1][_HASH]
        return True if wrong is None else self._wrong(*wrong)

    def finish(self) -> AuditVerification:
        """The result after the last record: nothing that was signed or copied may be missing."""
        if self.finding is None:
            signed = max(self._heads, default=0)
            wrong = self._copy.finish()
            if signed > self._number:
                said = f"{self._heads[signed][1]} has {signed}"
                self._wrong(self._number + 1, f"The records after {self._number} are missing: {said}.")
            elif wrong is not None:
                self._wrong(*wrong)
        return AuditVerification(
            first=self._start + 1,
            records=self._number,
            checkpoints=len(self._checkpoints),
            head=self._previous,
            finding=self.finding,
        )

    def _lines_of_sound(self, rows: Sequence[Sequence[Any]]) -> list[bytes] | None:
        """The rows as lines of the copy, None where anything is wrong: all at once, which is twice as fast."""
        try:
            lines = record_lines(rows)
        except (TypeError, ValueError):
            return None
        first, hashes = self._number + 1, [line_hash(line) for line in lines]
        sound = (
            hashes == [row[_HASH] for row in rows]
            and [row[_PREVIOUS] for row in rows] == [self._previous, *hashes[:-1]]
            and [row[_ID] for row in rows] == list(range(first, first + len(rows)))
        )
        due = self._counts[bisect_left(self._counts, first) : bisect_left(self._counts, first + len(rows))]
        return lines if sound and all(self._heads[count][0] == hashes[count - first] for count in due) else None

    def _find_wrong(self, rows: Sequence[Sequence[Any]]) -> list[bytes] | None:
        """The rows as lines of the copy; None where one is wrong, and the first one is found."""
        number, previous, heads = self._number, self._previous, self._heads
        lines = []
        for row in rows:
            number += 1
            reason = ""
            if row[_ID] != number:
                reason = f"Record {number} is missing: {row[_ID]} follows {number - 1}."
            elif row[_PREVIOUS] != previous:
                reason = f"Record {number} does not follow record {number - 1}."
            else:
                try:
                    lines.append(record_line(row))
                    previous = record_hash(row)
                except (TypeError, ValueError):
                    reason = f"Record {number} holds what no record can hold."
            if not reason and row[_HASH] != previous:
                reason = f"Record {number} was changed: its hash is another one."
            if not reason and number in heads and heads[number][0] != previous:
                reason = f"The records up to {number} are not those of {heads[number][1]}."
            if reason:
                self._wrong(number, reason)
                return None
        return lines

    def _wrong(self, record: int, reason: str) -> bool:
        self.finding = AuditFinding(record=record, reason=reason)
        return False

    def _check_checkpoints(self, keys: Mapping[str, bytes], believed: Collection[str]) -> None:
        last: AuditCheckpoint | None = None
        newest = {one.key_id: at for at, one in enumerate(self._checkpoints)}
        first = self._checkpoints[0].number if self._start and self._checkpoints else 1
        for number, one in enumerate(self._checkpoints, first):
            follows = checkpoint_hash(last) if last else one.previous if self._start else GENESIS
            if one.number != number or one.previous != follows or (last and one.count < last.count):
                self._wrong(one.count, f"Checkpoint {number} is missing or was changed.")
                return
            if newest[one.key_id] == number - first and not is_signed(one, keys.get(one.key_id)):
                self._wrong(one.count, f"The signature of checkpoint {number} is wrong, or its key is not known.")
                return
            known = self._heads.get(one.count)
            if known is not None and known[0] != one.head:
                self._wrong(one.count, f"Checkpoint {number} contradicts {known[1]}.")
                return
            if one.count > self._start:
                self._heads[one.count] = (one.head, f"checkpoint {number}")
            last = one
        if last is not None and last.key_id not in believed:
            self._wrong(last.count, f"Checkpoint {last.number} is signed with a key that is not the server's.")


def is_signed(checkpoint: AuditCheckpoint, key: bytes | None) -> bool:
    """Whether this public key (32 bytes) made the signature."""
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
