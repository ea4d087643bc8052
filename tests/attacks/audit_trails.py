"""Audit trails as a server leaves them, made in memory, and what an attacker may do to them."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cybercorp.protocol.audit import GENESIS, AuditCheckpoint, AuditLine, AuditRecord, AuditVerification
from cybercorp.protocol.audit_lines import detail_text, record_hash
from cybercorp.security.audit_chain import ChainCheck, public_half, sign_checkpoint
from cybercorp.security.audit_copy import CopyReader

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).private_bytes_raw()
FORGED = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))).private_bytes_raw()
KEYS = {"key_1": public_half(KEY)}
_TEXTS = ("", "ada", "ünï\u4e2d", '"quoted"', "a" * 200, "\\x1b[2J", "host-1", "0")
_ID, _TIME, _ACTOR, _DETAIL, _PREVIOUS, _HASH = 0, 1, 5, 14, 15, 16


@dataclass
class Trail:
    """The database's rows and checkpoints, and the lines of the second copy."""

    rows: list[list[Any]] = field(default_factory=list)
    checkpoints: list[AuditCheckpoint] = field(default_factory=list)
    copy: list[AuditLine] = field(default_factory=list)

    def check(self, **options: Any) -> AuditVerification:
        check = ChainCheck(self.checkpoints, KEYS, copy=reader(self.copy), **options)
        check.take(self.rows)
        return check.finish()

    def clone(self) -> Trail:
        return Trail([[*row] for row in self.rows], [*self.checkpoints], [*self.copy])


def reader(lines: Iterable[AuditLine]) -> CopyReader:
    """Of a second copy with these lines."""
    return CopyReader(io.BytesIO(b"".join(msgspec.json.encode(one) + b"\n" for one in lines)))


def make_trail(chance: random.Random, most: int, *, least: int = 0) -> Trail:
    """One as a server may leave it at any moment: crashed between database and copy, rotated, with an unsigned tail."""
    made = Trail()
    previous, now_ms = GENESIS, 1_790_000_000_000
    begins = chance.choice([1, 1, chance.randint(1, most)])  # a copy that was rotated away begins later
    for number in range(1, chance.randint(least, most) + 1):
        now_ms += chance.randint(-5_000, 60_000)  # clocks are set back, too
        values = [number, now_ms, *(chance.choice(_TEXTS) for _ in range(9)), "allowed", "done", None]
        detail = {chance.choice(_TEXTS): chance.choice(_TEXTS) for _ in range(chance.randint(0, 2))}
        row: list[Any] = [*values, detail_text(detail), previous]
        previous = record_hash(row)
        made.rows.append([*row, previous])
        if number >= begins:
            fields = dict(zip(AuditRecord.__struct_fields__, made.rows[-1], strict=True))
            made.copy.append(AuditLine(record=msgspec.convert({**fields, "detail": detail}, AuditRecord)))
        if chance.random() < 3 / most:
            last = made.checkpoints[-1] if made.checkpoints else None
            made.checkpoints.append(sign_checkpoint(last, now_ms, number, previous, "key_1", KEY))
            if number >= begins:
                made.copy.append(AuditLine(checkpoint=made.checkpoints[-1]))
    if made.copy and chance.random() < 0.2:
        made.copy.pop()  # killed after the database, before the copy
    return made


def restamp(rows: list[list[Any]], start: int) -> None:
    """Every number and hash from here on made anew, as whoever knows the format can."""
    previous = rows[start - 1][_HASH] if start else GENESIS
    for at in range(start, len(rows)):
        rows[at][_ID], rows[at][_PREVIOUS] = at + 1, previous
        previous = rows[at][_HASH] = record_hash(rows[at])


def _value(trail: Trail, at: int, chance: random.Random) -> None:
    column = chance.choice([_TIME, *range(2, 13), _DETAIL, _PREVIOUS, _HASH])
    value = trail.rows[at][column]
    trail.rows[at][column] = value + 1 if isinstance(value, int) else f"{value}x"


def _intent(trail: Trail, at: int, _: random.Random) -> None:
    trail.rows[at][13] = 1


def _delete(trail: Trail, at: int, _: random.Random) -> None:
    del trail.rows[at]


def _delete_and_restamp(trail: Trail, at: int, _: random.Random) -> None:
    del trail.rows[at]
    restamp(trail.rows, at)


def _truncate(trail: Trail, at: int, _: random.Random) -> None:
    del trail.rows[at:]


def _truncate_with_checkpoints(trail: Trail, at: int, _: random.Random) -> None:
    """Also the checkpoints that would tell: only the second copy knows."""
    del trail.rows[at:]
    trail.checkpoints = [one for one in trail.checkpoints if one.count <= at]


def _insert(trail: Trail, at: int, _: random.Random) -> None:
    at = min(at, len(trail.rows) - 2)  # behind the last one it would be a new record
    trail.rows.insert(at, [*trail.rows[at]])
    restamp(trail.rows, at)


def _swap(trail: Trail, at: int, _: random.Random) -> None:
    other = at - 1 if at else at + 1
    trail.rows[at], trail.rows[other] = trail.rows[other], trail.rows[at]


def _restamp(trail: Trail, at: int, _: random.Random) -> None:
    trail.rows[at][_ACTOR] = "somebody else"
    restamp(trail.rows, at)


def _restamp_and_sign(trail: Trail, at: int, _: random.Random) -> None:
    """A history made anew with every checkpoint, by somebody who has no key of the server."""
    _restamp(trail, at, _)
    made: list[AuditCheckpoint] = []
    for one in trail.checkpoints:
        head = trail.rows[one.count - 1][_HASH]
        made.append(sign_checkpoint(made[-1] if made else None, one.time_ms, one.count, head, "key_1", FORGED))
    trail.checkpoints = made


def _cut_copy(trail: Trail, at: int, chance: random.Random) -> None:
    """A line in the middle of the second copy is taken away."""
    records = [n for n, line in enumerate(trail.copy) if line.record is not None]
    del trail.copy[chance.choice(records[1:-1])]


def _edit_copy(trail: Trail, at: int, chance: random.Random) -> None:
    n = chance.choice([n for n, line in enumerate(trail.copy) if line.record is not None])
    record = trail.copy[n].record
    assert record is not None
    trail.copy[n] = AuditLine(record=msgspec.structs.replace(record, actor=record.actor + "x"))


def _go_on_after_truncation(trail: Trail, at: int, _: random.Random) -> None:
    """The tail is cut, also of the checkpoints, and the server writes on, into the same second copy."""
    kept = at
    new = [*trail.rows[at]]
    _truncate_with_checkpoints(trail, kept, _)
    trail.rows.append(new)
    new[_ACTOR] = "later"
    restamp(trail.rows, kept)
    fields = dict(zip(AuditRecord.__struct_fields__, new, strict=True))
    detail = msgspec.json.decode(new[_DETAIL])
    trail.copy.append(AuditLine(record=msgspec.convert({**fields, "detail": detail}, AuditRecord)))


Mutation = Callable[[Trail, int, random.Random], None]
MUTATIONS: tuple[Mutation, ...] = (
    _value,
    _intent,
    _delete,
    _delete_and_restamp,
    _truncate,
    _truncate_with_checkpoints,
    _insert,
    _swap,
    _restamp,
    _restamp_and_sign,
    _cut_copy,
    _edit_copy,
    _go_on_after_truncation,
)
