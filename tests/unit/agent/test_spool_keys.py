"""The spool's encryption: nothing readable is on the disk, what was moved does not open, a lost key is told."""

from __future__ import annotations

import base64
import contextlib
import sqlite3
import zlib
from pathlib import Path

import pytest

from cybercorp.agent.gaps import read_gap
from cybercorp.agent.spool import SPOOL_FILE, Spool
from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import AccessError
from cybercorp.protocol.agents import Record, RecordType
from cybercorp.protocol.metrics import Series, make_catalogue
from cybercorp.security.key_sources import KEY_FILE

MARKER = b"psql --password=K7-opensesame"


def spool_in(folder: Path, key_source: str | None = None) -> Spool:
    """A spool that is there or new."""
    told: list[str] = []
    return Spool(folder, max_bytes=1 << 26, clock=ManualClock(), report=told.append, boot_id="b", key_source=key_source)


def fill(spool: Spool, count: int) -> None:
    """Rows with the marker, committed."""
    for number in range(count):
        spool.append(RecordType.PROCESSES, number, MARKER + b"%d" % number, "cat")
    spool.commit()


def reopened(spool: Spool, folder: Path, key_source: str | None = None) -> Spool:
    """Closed in order and opened anew: nothing is in memory any more."""
    spool.close()
    return spool_in(folder, key_source)


def bodies(spool: Spool) -> list[bytes]:
    """Every row's."""
    return [one.body for one in spool.read_after(0, 1 << 20)]


def database(folder: Path) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(sqlite3.connect(folder / SPOOL_FILE))


def test_nothing_readable_is_on_the_disk(tmp_path: Path) -> None:
    """Neither bodies nor the names of series; both come back after a restart."""
    spool = spool_in(tmp_path)
    catalogue = make_catalogue([Series(name="disk.used", attributes={"mount": "/srv/opensesame"})])
    spool.add_catalogue(catalogue)
    spool.append(RecordType.SAMPLES, 0, b"x", catalogue.id)
    fill(spool, 20)
    for _ in range(2):
        found = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
        assert b"opensesame" not in found
        spool = reopened(spool, tmp_path)
    assert bodies(spool)[1:] == [MARKER + b"%d" % number for number in range(20)]
    announced = spool.catalogue(catalogue.id)
    assert announced is not None
    assert b"opensesame" in announced
    spool.close()


def test_a_row_moved_to_another_number_is_told_as_lost(tmp_path: Path) -> None:
    """Its checksum fits and its key is the right one, and still it does not open there."""
    spool = spool_in(tmp_path)
    fill(spool, 3)
    spool.close()
    with database(tmp_path) as file, file:
        file.execute(
            "update records set (crc, body) = (select crc, body from records where seq = 3), timestamp_ms = 2"
            " where seq = 2"
        )
    spool = spool_in(tmp_path)
    first, second, third = spool.read_after(0, 1 << 20)
    gap = read_gap(second.type, second.body)
    assert gap is not None
    assert (gap.first_seq, gap.last_seq, gap.reason) == (2, 2, "spool_damaged")
    assert (first.body, third.body) == (MARKER + b"0", MARKER + b"2")
    spool.close()


def test_numbered_anew_rows_still_open(tmp_path: Path) -> None:
    """When a new stream begins with the rows that are kept, they are encrypted for their new numbers."""
    spool = spool_in(tmp_path)
    fill(spool, 6)
    spool.acknowledge(4)
    spool.commit()
    spool.restart_stream()
    spool = reopened(spool, tmp_path)
    assert [(one.seq, one.body) for one in spool.read_after(0, 1 << 20)] == [(1, MARKER + b"4"), (2, MARKER + b"5")]
    spool.close()


def test_a_spool_from_before_is_read_and_goes_on_encrypted(tmp_path: Path) -> None:
    """Rows that an older agent wrote are delivered; new ones beside them are encrypted."""
    spool = spool_in(tmp_path)
    spool.append(RecordType.SAMPLES, 5, b"old", "cat")
    spool.close()
    with database(tmp_path) as file, file:
        file.execute("update records set body = ?, crc = ?", (b"old", zlib.crc32(b"old")))
        file.execute("drop table keys")
        file.execute("pragma user_version = 1")
    spool = spool_in(tmp_path)
    fill(spool, 1)
    spool = reopened(spool, tmp_path)
    assert bodies(spool) == [b"old", MARKER + b"0"]
    assert MARKER not in (tmp_path / SPOOL_FILE).read_bytes()
    spool.close()


class TestKeys:
    def test_an_empty_spool_begins_with_a_new_key(self, tmp_path: Path) -> None:
        """So that a key which somebody learned opens nothing later; a spool with rows keeps its own."""

        def key() -> str:
            with database(tmp_path) as file:
                ((wrapped,),) = file.execute("select wrapped from keys").fetchall()
            return str(wrapped)

        spool = spool_in(tmp_path)
        fill(spool, 2)
        spool = reopened(spool, tmp_path)
        spool.acknowledge(2)
        spool.close()
        first = key()
        spool_in(tmp_path).close()
        assert key() != first

    def test_a_replaced_key_costs_the_rows_and_says_so(self, tmp_path: Path) -> None:
        """Rows of the old key are reported one by one; new ones are kept with the new key."""
        spool = spool_in(tmp_path)
        fill(spool, 2)
        other = tmp_path / "other-key"
        other.write_text(base64.b64encode(b"k" * 32).decode())
        other.chmod(0o600)
        spool = reopened(spool, tmp_path, f"file:{other}")
        fill(spool, 1)
        spool = reopened(spool, tmp_path, f"file:{other}")
        found: list[Record] = spool.read_after(0, 1 << 20)
        assert [read_gap(one.type, one.body) is not None for one in found] == [True, True, False]
        assert found[-1].body == MARKER + b"0"
        spool.close()

    def test_a_key_that_others_can_read_is_refused(self, tmp_path: Path) -> None:
        """The agent does not start on it, and says what to do."""
        spool_in(tmp_path).close()
        (tmp_path / KEY_FILE).chmod(0o644)
        with pytest.raises(AccessError) as caught:
            spool_in(tmp_path)
        assert "chmod 600" in caught.value.hint
