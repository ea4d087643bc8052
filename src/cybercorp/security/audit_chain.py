"""Checkpoints over the audit trail, and the check of the whole chain. No I/O here; the server and auditors use it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from cybercorp.protocol.audit import (
    GENESIS,
    AuditCheckpoint,
    AuditFinding,
    AuditLine,
    AuditVerification,
    checkpoint_bytes,
    record_hash,
    row_of,
)

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
    """What the next checkpoint names as its previous one."""
    return hashlib.sha256(_signed(checkpoint)).hexdigest()


class ChainCheck:
    """Takes the checkpoints, then the records in order; tells the first thing that is wrong.

    `keys` are public keys (32 bytes) by id, `believed` the ids that the last checkpoint may be signed with (all where
    None): it vouches for those before it, whose keys may be retired. `copy` are the lines of the second copy; it may
    begin later than the trail, and must agree with it from there on. `anchor` is (count, head) as somebody noted it.
    `start` is (count, head) that is believed: records and checkpoints from there on are checked.
    """

    def __init__(
        self,
        checkpoints: Sequence[AuditCheckpoint],
        keys: Mapping[str, bytes],
        *,
        believed: Collection[str] | None = None,
        copy: Iterable[AuditLine] = (),
        anchor: tuple[int, str] | None = None,
        start: tuple[int, str] | None = None,
    ) -> None:
        self._checkpoints = checkpoints
        self._heads: dict[int, tuple[str, str]] = {anchor[0]: (anchor[1], "the head that was noted")} if anchor else {}
        self._copy = _Copy(copy, checkpoints)
        self._start, self._previous = start or (0, GENESIS)
        self._number = self._start
        self.finding: AuditFinding | None = None
        self._check_checkpoints(keys, keys if believed is None else believed)

    def take(self, rows: Sequence[Sequence[Any]]) -> bool:
        """Rows of the table in the order of its columns; False as soon as something is wrong."""
        if self.finding is not None:
            return False
        first, number, previous, heads = self._number + 1, self._number, self._previous, self._heads
        for row in rows:
            number += 1
            if row[_ID] != number:
                return self._wrong(number, f"Record {number} is missing: {row[_ID]} follows {number - 1}.")
            if row[_PREVIOUS] != previous:
                return self._wrong(number, f"Record {number} does not follow record {number - 1}.")
            try:
                previous = record_hash(*row[:_HASH])
            except (TypeError, ValueError):
                return self._wrong(number, f"Record {number} holds what no record can hold.")
            if row[_HASH] != previous:
                return self._wrong(number, f"Record {number} was changed: its hash is another one.")
            if number in heads and heads[number][0] != previous:
                return self._wrong(number, f"The records up to {number} are not those of {heads[number][1]}.")
        self._number, self._previous = number, previous
        wrong = self._copy.compare(first, rows)
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

    def _wrong(self, record: int, reason: str) -> bool:
        self.finding = AuditFinding(record=record, reason=reason)
        return False

    def _check_checkpoints(self, keys: Mapping[str, bytes], believed: Collection[str]) -> None:
        last: AuditCheckpoint | None = None
        first = self._checkpoints[0].number if self._start and self._checkpoints else 1
        for number, one in enumerate(self._checkpoints, first):
            follows = checkpoint_hash(last) if last else one.previous if self._start else GENESIS
            if one.number != number or one.previous != follows or (last and one.count < last.count):
                self._wrong(one.count, f"Checkpoint {number} is missing or was changed.")
                return
            if not is_signed(one, keys.get(one.key_id)):
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


class _Copy:
    """The second copy, read along with the trail."""

    def __init__(self, lines: Iterable[AuditLine], checkpoints: Sequence[AuditCheckpoint]) -> None:
        self._lines: Iterator[AuditLine] = iter(lines)
        self._checkpoints = checkpoints
        self._at = 0  # the record that was read last
        self._waiting: tuple[Any, ...] | None = None

    def compare(self, first: int, rows: Sequence[Sequence[Any]]) -> tuple[int, str] | None:
        """What does not agree with these rows, the first of which has the number `first`."""
        end = first + len(rows)
        while True:
            if self._waiting is None:
                wrong = self._read()
                if wrong is not None or self._waiting is None:
                    return wrong
            number = self._waiting[_ID]
            if number >= end:
                return None
            if number < first or tuple(rows[number - first]) != self._waiting:
                return number, f"Record {number} is not the one that the second copy holds."
            self._waiting = None

    def finish(self) -> tuple[int, str] | None:
        """After the last row nothing may be left."""
        wrong = self._read() if self._waiting is None else None
        if wrong is None and self._waiting is not None:
            number = self._waiting[_ID]
            return number, f"Record {number} and those after it are missing: the second copy holds them."
        return wrong

    def _read(self) -> tuple[int, str] | None:
        """The next record into `_waiting`."""
        for line in self._lines:
            if line.record is not None:
                number = line.record.id
                if self._at and number != self._at + 1:
                    wrong = min(number, self._at + 1)
                    return wrong, f"The second copy is not whole: record {number} follows {self._at} there."
                self._at, self._waiting = number, row_of(line.record)
                return None
            made = line.checkpoint
            if made is not None and self._checkpoints[made.number - 1 : made.number] != [made]:
                return made.count, f"Checkpoint {made.number} is not the one that the second copy holds."
        return None


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
