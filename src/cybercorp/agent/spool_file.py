"""The spool's SQLite file: rows of one stream, the catalogues they need, and where the stream stands.

One connection with an exclusive lock: no shared memory file, no lock calls per transaction. WAL with
synchronous=NORMAL: a killed agent loses nothing; a power cut may lose the newest seconds and nothing else. Bodies are
encrypted.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from cybercorp.agent.spool_keys import SCHEMA, SEALED_BYTES, SpoolCipher
from cybercorp.protocol.agents import Record
from cybercorp.security.key_sources import KeyEncryptionKey

ROW_OVERHEAD_BYTES = 64 + SEALED_BYTES  # what a row costs besides its body, about; the SQL below says it too
_FORMAT = 2
_PLAIN_FORMAT = 1
_SCHEMA = f"""
create table state (
  id integer primary key check (id = 1), stream text not null, next_seq integer not null,
  boot_id text not null, clean integer not null
);
create table records (
  seq integer primary key, timestamp_ms integer not null, type integer not null, catalogue text not null,
  crc integer not null, body blob not null
);
create table catalogues (id text primary key, body blob not null) without rowid;
{SCHEMA}
"""
_SET_STATE = (
    "insert into state values (1, ?, ?, ?, 0) on conflict (id) do update set "
    "stream = excluded.stream, next_seq = excluded.next_seq, boot_id = excluded.boot_id, clean = 0"
)
_FREE_PAGES_PER_COMMIT = 64


class FileState(NamedTuple):
    """What the file says about its stream. `clean`: it was closed in order, so nothing written can be missing."""

    stream: str
    next_seq: int
    boot_id: str
    clean: bool


class SpoolFile:
    """Every method raises sqlite3.Error as it comes; `Spool` decides what that means."""

    def __init__(self, path: Path, key: KeyEncryptionKey) -> None:
        """Open or make the file. Raises sqlite3.DatabaseError for one that is damaged or of another format."""
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=32)
        try:
            self._prepare()
            self._cipher = SpoolCipher(self._db, key)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        db = self._db
        db.execute("pragma locking_mode = exclusive")
        if self._number("pragma user_version") == 0 and self._number("select count(*) from sqlite_schema") == 0:
            db.execute("pragma auto_vacuum = incremental")
            db.execute("pragma journal_mode = wal")
            db.executescript(f"begin; {_SCHEMA} pragma user_version = {_FORMAT}; commit;")
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        db.execute("pragma cache_size = -512")
        db.execute("pragma journal_size_limit = 8388608")
        if self._number("pragma user_version") == _PLAIN_FORMAT:
            db.executescript(f"begin; {SCHEMA} pragma user_version = {_FORMAT}; commit;")
        if self._number("pragma user_version") != _FORMAT:
            raise sqlite3.DatabaseError("the spool was written by another version")
        state = self.state()
        if state is None or not state.clean:
            found = db.execute("pragma quick_check(1)").fetchone()
            if found is None or found[0] != "ok":
                raise sqlite3.DatabaseError(f"database disk image is malformed: {found}")
        if os.name == "posix":
            self.path.chmod(0o600)

    def state(self) -> FileState | None:
        """Where the stream stands; None in a new file."""
        row = self._db.execute("select stream, next_seq, boot_id, clean from state").fetchone()
        return FileState(row[0], row[1], row[2], bool(row[3])) if row else None

    def bounds(self) -> tuple[int, int, int]:
        """(oldest seq, newest seq, bytes) of the rows; zeros where there are none."""
        row = self._db.execute("select min(seq), max(seq), sum(length(body) + 64) from records").fetchone()
        return (row[0], row[1], row[2]) if row and row[0] is not None else (0, 0, 0)

    def commit(
        self,
        *,
        state: FileState,
        acked_seq: int,
        rows: Sequence[Record],
        dropped: tuple[int, int] | None,
        catalogues: Iterable[tuple[str, bytes]],
    ) -> int:
        """One transaction: forget rows up to `acked_seq` and those `dropped` (first, last), add `rows` and catalogues.

        Returns the bytes of the rows that went.
        """
        db = self._db
        db.execute("begin immediate")
        try:
            gone = self._delete(0, acked_seq)
            if dropped is not None:
                gone += self._delete(*dropped)
            db.executemany(
                "insert or replace into records values (?, ?, ?, ?, ?, ?)",
                map(self._sealed, rows),
            )
            added = [(name, self._cipher.seal_catalogue(name, body)) for name, body in catalogues]
            if added:
                db.execute("delete from catalogues where id not in (select distinct catalogue from records)")
                db.executemany("insert or ignore into catalogues values (?, ?)", added)
            db.execute(_SET_STATE, (state.stream, state.next_seq, state.boot_id))
            db.execute("commit")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("rollback")
            raise
        return gone

    def _delete(self, first: int, last: int) -> int:
        row = self._db.execute(
            "select sum(length(body) + 64) from records where seq between ? and ?", (first, last)
        ).fetchone()
        if row[0] is None:
            return 0
        self._db.execute("delete from records where seq between ? and ?", (first, last))
        return int(row[0])

    def oldest(self) -> int:
        """The oldest row's number, 0 where there is none."""
        return self._number("select coalesce(min(seq), 0) from records")

    def give_back_space(self) -> bool:
        """Return some free pages to the file system after a long spool was drained; False when all are given."""
        free = self._number("pragma freelist_count")
        if free <= _FREE_PAGES_PER_COMMIT:
            return False
        # `execute` would step this pragma once, which frees one page; `executescript` steps it to its end.
        self._db.executescript(f"pragma incremental_vacuum({_FREE_PAGES_PER_COMMIT * 4})")
        return True

    def read_after(self, seq: int, *, count: int, max_bytes: int) -> list[tuple[Record, bool]]:
        """Rows after `seq` in order, at most `count`, about `max_bytes`; False marks one whose checksum is wrong."""
        found: list[tuple[Record, bool]] = []
        size = 0
        rows = self._db.execute(
            "select seq, timestamp_ms, type, catalogue, body, crc from records where seq > ? order by seq limit ?",
            (seq, count),
        )
        with contextlib.closing(rows):
            for number, timestamp_ms, type_, catalogue, body, crc in rows:
                size += len(body) + ROW_OVERHEAD_BYTES
                if found and size > max_bytes:
                    break
                found.append(self._opened(Record(number, timestamp_ms, type_, catalogue, bytes(body)), crc))
        return found

    def _sealed(self, record: Record) -> tuple[int, int, int, str, int, bytes]:
        body = self._cipher.seal(record)
        return record.seq, record.timestamp_ms, record.type, record.catalogue, zlib.crc32(body), body

    def _opened(self, stored: Record, crc: int) -> tuple[Record, bool]:
        body = self._cipher.open(stored) if zlib.crc32(stored.body) == crc else None
        return (stored, False) if body is None else (msgspec.structs.replace(stored, body=body), True)

    def oldest_after(self, seq: int, count: int) -> list[tuple[int, int, int, int]]:
        """(seq, timestamp_ms, type, bytes) of the oldest rows after `seq`, without their bodies."""
        return self._db.execute(
            "select seq, timestamp_ms, type, length(body) + 64 from records where seq > ? order by seq limit ?",
            (seq, count),
        ).fetchall()

    def body(self, seq: int) -> bytes:
        """The body of one row, empty where it is absent or damaged."""
        found = self.read_after(seq - 1, count=1, max_bytes=1)
        return found[0][0].body if found and found[0][1] and found[0][0].seq == seq else b""

    def catalogue(self, id: str) -> bytes | None:
        """What was stored for this catalogue."""
        row = self._db.execute("select body from catalogues where id = ?", (id,)).fetchone()
        return self._cipher.open_catalogue(id, bytes(row[0])) if row else None

    def renumber(self, shift: int) -> None:
        """Move every row's number down by `shift` (1 or more)."""
        # In ascending order a number is free before the next row takes it.
        for (seq,) in self._db.execute("select seq from records order by seq").fetchall():
            ((record, intact),) = self.read_after(seq - 1, count=1, max_bytes=1)
            if not intact:  # it will be told as lost
                self._db.execute("update records set seq = ? where seq = ?", (seq - shift, seq))
                continue
            moved = self._sealed(msgspec.structs.replace(record, seq=seq - shift))
            self._db.execute("update records set seq = ?, crc = ?, body = ? where seq = ?", (moved[0], *moved[4:], seq))

    def mark_clean(self) -> None:
        """Say that everything written is on disk, and put it there."""
        self._db.execute("update state set clean = 1")
        self._db.execute("pragma wal_checkpoint(truncate)").fetchall()

    def close(self) -> None:
        self._db.close()

    def _number(self, sql: str) -> int:
        row = self._db.execute(sql).fetchone()
        return int(row[0]) if row else 0


def move_aside(path: Path, now_ms: int) -> Path:
    """Rename a damaged spool and its companions out of the way; the copy's path."""
    target = path.with_name(f"{path.name}.damaged-{now_ms}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        with contextlib.suppress(FileNotFoundError):
            part.rename(target.with_name(target.name + suffix))
    return target
