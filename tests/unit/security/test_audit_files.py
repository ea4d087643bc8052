"""security.audit_files: files of an audit trail from anybody; whatever is in them, the check says so and ends."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cybercorp.core.errors import CyberCorpError, InvalidInputError
from cybercorp.protocol.audit import AuditKey, AuditLine
from cybercorp.security.audit_files import verify_file
from tests.attacks.audit_trails import KEYS, make_trail

PUBLIC = KEYS["key_1"].hex()


def export() -> tuple[list[bytes], int]:
    """The lines of a whole, signed trail, and which of them is its first record."""
    chance = random.Random(3)
    trail = make_trail(chance, 30, least=30)
    while not trail.checkpoints or len([one for one in trail.copy if one.record is not None]) < 30:
        trail = make_trail(chance, 30, least=30)
    count = trail.checkpoints[-1].count
    keys = [AuditLine(key=AuditKey(id="key_1", public_key=PUBLIC, created_at_ms=1))]
    records = [one for one in trail.copy if one.record is not None and one.record.id <= count]
    lines = [*keys, *(AuditLine(checkpoint=one) for one in trail.checkpoints), *records]
    return [msgspec.json.encode(one) + b"\n" for one in lines], len(lines) - len(records)


LINES, FIRST = export()


def test_a_whole_one_is_sound(tmp_path: Path) -> None:
    """Checked with the key that the server told."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(LINES))
    found, vouched = verify_file(path, keys=[PUBLIC])
    assert (found.finding, found.records, vouched) == (None, len(LINES) - FIRST, True)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(line=st.integers(FIRST, len(LINES) - 1), at=st.integers(0, 10_000), value=st.integers(0, 255))
def test_every_changed_byte_of_a_record_is_found(tmp_path: Path, line: int, at: int, value: int) -> None:
    """Or is no line of a trail any more."""
    changed = [*LINES]
    data = bytearray(changed[line])
    at %= len(data)
    if data[at] == value:
        return
    data[at] = value
    changed[line] = bytes(data)
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(changed))
    with contextlib.suppress(CyberCorpError):
        assert verify_file(path, keys=[PUBLIC])[0].finding is not None


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(parts=st.lists(st.one_of(st.sampled_from(LINES), st.binary(max_size=200)), max_size=12))
def test_any_bytes_end_the_check(tmp_path: Path, parts: list[bytes]) -> None:
    """With a finding, an error that says which line, or because nothing in it is wrong."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(parts))
    with contextlib.suppress(CyberCorpError):
        verify_file(path)


def test_the_beginning_is_not_missing(tmp_path: Path) -> None:
    """An export begins with the first record; without it, it is none."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(LINES[:FIRST] + LINES[FIRST + 1 :]))
    found = verify_file(path, keys=[PUBLIC])[0].finding
    assert found is not None
    assert found.record == 1


@pytest.mark.parametrize("key", ["", "zz", "00" * 31, "00" * 33, "ключ"])
def test_what_is_no_key(tmp_path: Path, key: str) -> None:
    """Said before anything is read."""
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"".join(LINES))
    with pytest.raises(InvalidInputError, match="64 hexadecimal"):
        verify_file(path, keys=[key])


def test_no_file(tmp_path: Path) -> None:
    """A wrong name is no trail that is sound."""
    with pytest.raises(InvalidInputError, match="no file"):
        verify_file(tmp_path / "nothing")
