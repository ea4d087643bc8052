"""The second copy of the audit trail: durable or not there at all, whatever the disk does."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cybercorp.core.errors import StorageCorruptError, StorageError, StorageFullError
from cybercorp.protocol.audit import GENESIS, AuditLine, AuditRecord, Decision, Outcome
from cybercorp.security.audit_files import read_lines
from cybercorp.server.services.audit_file import AuditFile


def line(number: int) -> AuditLine:
    return AuditLine(
        record=AuditRecord(
            id=number,
            time_ms=1,
            operation="test.done",
            actor_kind="",
            actor_id="",
            actor="",
            session_id="",
            network="",
            target_kind="",
            target_id="",
            target="x" * 1000,
            decision=Decision.ALLOWED,
            outcome=Outcome.DONE,
            intent=None,
            detail={},
            previous=GENESIS,
            hash=GENESIS,
        )
    )


def ids(path: Path) -> list[int]:
    return [one.record.id for one in read_lines(path) if one.record is not None]


def test_what_was_appended_is_there_for_the_owner_only(tmp_path: Path) -> None:
    """In order, 0600, and the next run knows where it ended, also behind the edge of a block."""
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path)
    assert file.last_id() is None
    file.append([line(n) for n in range(1, 101)])
    file.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert AuditFile(path).last_id() == 100
    assert ids(path) == list(range(1, 101))


def test_part_of_a_line_is_cut_off(tmp_path: Path) -> None:
    """A crash in the middle of a write leaves no damage: readers stop before it, the next run writes over it."""
    path = tmp_path / "audit.jsonl"
    AuditFile(path).append([line(1), line(2)])
    path.write_bytes(path.read_bytes()[:-10])
    assert ids(path) == [1]
    again = AuditFile(path)
    assert again.last_id() == 1
    again.append([line(2)])
    assert ids(path) == [1, 2]


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """StorageFullError, and when there is room the same lines fit."""
    path = tmp_path / "audit.jsonl"
    path.symlink_to("/dev/full")
    file = AuditFile(path)
    with pytest.raises(StorageFullError):
        file.append([line(1)])
    path.unlink()
    file.append([line(1)])
    assert ids(path) == [1]


def test_what_could_not_be_synced_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After EIO nobody can say what is on the disk: the lines are cut off, and written again by whoever owes them."""
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path)
    file.append([line(1)])

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(StorageError, match="cannot be written"):
            file.append([line(2)])
    assert ids(path) == [1]
    assert file.last_id() == 1
    file.append([line(2)])
    assert ids(path) == [1, 2]


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    """As logrotate does it; both halves together are the trail."""
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path)
    file.append([line(1)])
    path.rename(tmp_path / "audit.1")
    assert file.last_id() == 1
    file.append([line(2)])
    assert (ids(tmp_path / "audit.1"), ids(path)) == ([1], [2])


@pytest.mark.parametrize("damage", [b"nonsense\n", b"\xff\xfe\n", b'{"record":{}}\n', b"[" * 100_000 + b"\n"])
def test_a_damaged_line_is_named(tmp_path: Path, damage: bytes) -> None:
    """Not skipped: what cannot be read is no proof of anything."""
    path = tmp_path / "audit.jsonl"
    AuditFile(path).append([line(1)])
    with path.open("ab") as file:
        file.write(damage)
    with pytest.raises(StorageCorruptError, match="Line 2"):
        list(read_lines(path))
    AuditFile(path).append([line(3)])  # and the server goes on behind it
    assert path.read_bytes().count(b"\n") == 3
