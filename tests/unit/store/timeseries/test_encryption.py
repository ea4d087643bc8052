"""Encryption of process tables: nothing of them is on the disk, and what was moved or changed does not open."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import StorageCorruptError
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.processes import ProcessTable
from cybercorp.security.vault import Vault
from cybercorp.store.timeseries.encoding.chunks import PROCESSES
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.index import BUCKET_MS
from cybercorp.store.timeseries.rows import StoredRow
from tests.unit.store.building import START_MS, fill, open_store

MARKER = "mysql --password=K7-opensesame"
FIRST_KEY, SECOND_KEY = b"1" * 32, b"2" * 32


def table_of(at_ms: int, command: str = MARKER) -> bytes:
    """A table of one process."""
    columns = {name: [0] for name in ("pid", "started_at_ms", "parent", "rss_bytes", "threads", "cpu_time_s")}
    texts = {"name": ["mysql"], "command": [command], "user": ["ann"], "state": ["S"]}
    maybe: dict[str, list[None]] = {name: [None] for name in ("cpu", "read_bytes", "write_bytes")}
    maybe |= {name: [None] for name in ("read_rate", "write_rate")}
    return msgspec.msgpack.encode(
        msgspec.convert({"timestamp_ms": at_ms, "total": 1, **columns, **texts, **maybe}, ProcessTable)
    )


def write(store: TimeSeries, seq: int, minute: float, host: int = 1) -> None:
    """One table at that minute."""
    at = START_MS + round(minute * 60_000)
    store.write([StoredRow(host, "s", seq, at, at, RecordType.PROCESSES, "", table_of(at))])


def bytes_on_disk(folder: Path) -> bytes:
    """Everything in the folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def commands(store: TimeSeries, host: int = 1) -> list[str]:
    """The command of every stored table, in order of time."""
    bodies = store.process_tables(host, START_MS, START_MS + 40 * BUCKET_MS)
    return [msgspec.msgpack.decode(body, type=ProcessTable).command[0] for body in bodies]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_MS)


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[TimeSeries]:
    opened = open_store(tmp_path, clock)
    opened.encrypt_with(Vault({1: FIRST_KEY}, 1))
    with contextlib.closing(opened):
        yield opened


def reopened(store: TimeSeries, folder: Path, vault: Vault | None, clock: ManualClock) -> TimeSeries:
    """The same files, opened anew."""
    store.close()
    again = open_store(folder, clock)
    if vault is not None:
        again.encrypt_with(vault)
    return again


def test_no_command_line_is_on_the_disk(store: TimeSeries, tmp_path: Path, clock: ManualClock) -> None:
    """Neither in the log, nor in a fresh chunk, nor in a merged one; a table comes back as it came, also later."""
    for minute in range(90):
        write(store, minute + 1, minute)
        if minute % 30 == 7:
            assert MARKER.encode() not in bytes_on_disk(tmp_path)
            store.seal(everything=True)
    clock.advance(5 * BUCKET_MS / 1000)
    store.seal(everything=True)
    while store.seal().pending:
        pass
    assert commands(store) == [MARKER] * 90
    for word in (MARKER, "opensesame", "K7-"):
        assert word.encode() not in bytes_on_disk(tmp_path)
    again = reopened(store, tmp_path, Vault({1: FIRST_KEY}, 1), clock)
    with contextlib.closing(again):
        assert again.processes_at(1, START_MS + 1, 1000) == msgspec.msgpack.decode(
            table_of(START_MS), type=ProcessTable
        )
        assert again.check() == []


def test_without_a_key_the_search_finds_it(tmp_path: Path) -> None:
    """The search above is no empty promise: without a vault the command line is there to be found."""
    with contextlib.closing(open_store(tmp_path)) as store:
        write(store, 1, 0)
        assert b"opensesame" in bytes_on_disk(tmp_path)


def test_the_log_opens_again_with_its_key(store: TimeSeries, tmp_path: Path, clock: ManualClock) -> None:
    """Rows that were only in the log are read where they are, brought to memory and sealed."""
    fill(store, 3)
    write(store, 4, 0)
    write(store, 5, 1)
    again = reopened(store, tmp_path, Vault({1: FIRST_KEY}, 1), clock)
    with contextlib.closing(again):
        assert commands(again) == [MARKER] * 2
        again.seal(everything=True)
        assert commands(again) == [MARKER] * 2
        assert again.damage() == []


def test_a_missing_key_is_told_and_loses_nothing(store: TimeSeries, tmp_path: Path, clock: ManualClock) -> None:
    """Reading and sealing say that the key is missing; nothing is set aside or trimmed, and with the key all is there.

    What can be verified without a key still is.
    """
    write(store, 1, 0)
    store.seal(everything=True)
    write(store, 2, 1)
    for vault in (None, Vault({7: SECOND_KEY}, 7)):
        store = reopened(store, tmp_path, vault, clock)
        with pytest.raises(StorageCorruptError) as caught:
            commands(store)
        assert caught.value.error_code == "key_missing"
        with pytest.raises(StorageCorruptError):
            store.seal(everything=True)
        assert store.check() == []
        assert store.damage() == []
    store = reopened(store, tmp_path, Vault({1: FIRST_KEY}, 1), clock)
    with contextlib.closing(store):
        assert commands(store) == [MARKER] * 2


def test_a_chunk_whose_key_is_lost_holds_up_nothing(store: TimeSeries, clock: ManualClock) -> None:
    """Others are sealed, merged and encrypted anew beside it; it stays as it is, and opens when its key comes back."""
    write(store, 1, 0, host=2)
    store.seal(everything=True)
    store.encrypt_with(Vault({2: SECOND_KEY}, 2))
    for minute in range(1, 60):
        write(store, minute + 1, minute, host=2)
        write(store, minute, minute)
        store.seal(everything=True)
    clock.advance(5 * BUCKET_MS / 1000)
    while store.seal(everything=True).pending:
        pass
    assert store.reencrypt(1000)
    assert commands(store) == [MARKER] * 59
    with pytest.raises(StorageCorruptError):
        commands(store, host=2)
    assert store.stats().head_rows == 0
    assert store.damage() == []
    store.encrypt_with(Vault({1: FIRST_KEY, 2: SECOND_KEY}, 2))
    assert commands(store, host=2) == [MARKER] * 60


def test_tables_moved_to_another_time_do_not_open(store: TimeSeries, tmp_path: Path, clock: ManualClock) -> None:
    """Two sound chunks of one host that change places are damage, although every checksum fits."""
    for seq, at in enumerate((START_MS, START_MS + 40 * 60_000), start=1):
        store.write([StoredRow(1, "s", seq, at, at, RecordType.PROCESSES, "", table_of(START_MS))])
        store.seal(everything=True)
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "samples.db")) as database, database:
        rows = "SELECT id FROM chunks WHERE kind = ? ORDER BY id"
        (one,), (other,) = database.execute(rows, (PROCESSES,)).fetchall()
        body = "UPDATE chunk_bodies SET id = ? WHERE id = ?"
        for new, old in ((-1, one), (one, other), (other, -1)):
            database.execute(body, (new, old))
    store = open_store(tmp_path, clock)
    store.encrypt_with(Vault({1: FIRST_KEY}, 1))
    with contextlib.closing(store):
        assert store.check() == []
        assert commands(store) == []
        assert ["belong elsewhere" in one for one in store.damage()] == [True, True]


class TestRotation:
    def test_every_table_is_written_with_the_new_key(
        self, store: TimeSeries, tmp_path: Path, clock: ManualClock
    ) -> None:
        """Also those of the log, when they are sealed; then the old key opens nothing, and the new one everything."""
        for minute in range(4):
            write(store, minute + 1, 40 * minute)
            store.seal(everything=True)
        write(store, 9, 200)
        vault = Vault({1: FIRST_KEY, 2: SECOND_KEY}, 2)
        store.encrypt_with(vault)
        assert not store.reencrypt(3)
        assert not store.reencrypt(3)  # the log
        store.seal(everything=True)
        assert store.reencrypt(3)
        vault.drop(1)
        assert commands(store) == [MARKER] * 5
        assert store.check() == []
        again = reopened(store, tmp_path, Vault({2: SECOND_KEY}, 2), clock)
        with contextlib.closing(again):
            assert commands(again) == [MARKER] * 5
            assert again.reencrypt(0)  # noted: nothing is looked at again

    def test_what_was_plain_is_encrypted(self, tmp_path: Path, clock: ManualClock) -> None:
        """Tables from before there was a key are read as they are, then written with it."""
        store = open_store(tmp_path, clock)
        write(store, 1, 0)
        store.seal(everything=True)
        write(store, 2, 40)
        store = reopened(store, tmp_path, Vault({1: FIRST_KEY}, 1), clock)
        with contextlib.closing(store):
            assert commands(store) == [MARKER] * 2
            store.seal(everything=True)
            assert store.reencrypt()
            with contextlib.closing(sqlite3.connect(tmp_path / "samples.db")) as database:
                found = database.execute("SELECT body FROM chunk_bodies").fetchall()
            assert len(found) == 2
            assert all(b"CCS1" in body for (body,) in found)
            assert commands(store) == [MARKER] * 2
