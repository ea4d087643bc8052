"""The time-series storage on SQLite: one writer connection that also does every checkpoint, and read-only readers."""

from __future__ import annotations

import contextlib
import queue
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from cybercorp.core.errors import StorageError
from cybercorp.store.files import FileLock, check_database_file, corrupt, storage_error
from cybercorp.store.timeseries.encoding.chunks import DamagedChunkError, Read
from cybercorp.store.timeseries.storage.contract import (
    CatalogueRow,
    ChunkEntry,
    ChunkGoneError,
    HostMark,
    Loaded,
    LogEntry,
    Sizes,
)
from cybercorp.store.timeseries.storage.sqlite_schema import upgrade

PAGE_BYTES = 8192
_CHECKPOINT_PAGES = 1000
_MAX_READERS = 8
_CLOSING_BYTES = 64 * 1024**2  # unused pages given back when it is closed: half a second at most
_WRITER_PRAGMAS = (
    f"PRAGMA page_size = {PAGE_BYTES}",
    "PRAGMA auto_vacuum = INCREMENTAL",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = OFF",
    f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}",
    f"PRAGMA journal_size_limit = {8 * _CHECKPOINT_PAGES * PAGE_BYTES}",
    "PRAGMA cache_size = -16000",
)


class SqliteStorage:
    """ChunkStorage in one file. The caller lets only one thread at a time call what writes."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises StorageCorruptError, StorageNewerError, StorageUnwritableError, ConflictError."""
        self.path = path
        check_database_file(path)
        self._lock = FileLock(path)
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._reader_slots = _ReaderSlots()
        try:
            self._writer = self._open_writer()
        except BaseException:
            self._lock.release()
            raise

    def load(self) -> Loaded:
        with self._errors():
            execute = self._writer.execute
            next_log = execute("SELECT value FROM meta WHERE key = 'next_log'").fetchone()
            newest = execute("SELECT coalesce(max(number), 0) + 1 FROM log").fetchone()[0]
            damage: list[str] = []
            marks = [HostMark._make(row) for row in sound_rows(self._writer, "marks", damage)]
            known = [newest, *(max(mark.sealed, mark.dropped) + 1 for mark in marks)]
            return Loaded(
                catalogues=[CatalogueRow._make(row) for row in sound_rows(self._writer, "catalogues", damage)],
                chunks=[ChunkEntry._make(row) for row in sound_rows(self._writer, "chunks", damage)],
                streams=[(host, stream, acked) for host, stream, acked in sound_rows(self._writer, "streams", damage)],
                marks=marks,
                next_log=max(known + [int(text) for text in next_log or () if str(text).isdigit()]),
                damage=damage,
            )

    def log_heads(self) -> Iterator[tuple[int, int, bytes]]:
        with self._errors():
            found = self._writer.execute("SELECT number, received_ms, head FROM log ORDER BY number")
            yield from ((number, received_ms, _bytes(head)) for number, received_ms, head in found)

    def append(self, entry: LogEntry, catalogues: Sequence[CatalogueRow]) -> None:
        with self._transaction() as connection:
            if catalogues:
                connection.executemany("INSERT INTO catalogues VALUES (?, ?, ?, ?, ?)", _checked(catalogues))
            size = len(entry.head) + len(entry.body)
            connection.execute(
                "INSERT INTO log VALUES (?, ?, ?, ?, ?)",
                (entry.number, entry.received_ms, size, entry.head, entry.body),
            )

    def add_chunks(
        self, chunks: Sequence[tuple[ChunkEntry, bytes]], marks: Sequence[HostMark], *, settled: bool = False
    ) -> None:
        with self._transaction() as connection:
            self._insert_chunks(connection, chunks)
            connection.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", _checked(marks))

    def replace_chunks(self, old: Sequence[int], entry: ChunkEntry, body: bytes) -> None:
        with self._transaction() as connection:
            self._delete_chunks(connection, old)
            self._insert_chunks(connection, [(entry, body)])

    def delete_chunks(self, ids: Sequence[int]) -> None:
        with self._transaction() as connection:
            self._delete_chunks(connection, ids)

    def drop_before(self, kind: int, before_ms: int, ids: Sequence[int]) -> None:
        self.delete_chunks(ids)

    def trim_log(self, up_to: int, next_log: int, streams: Sequence[tuple[int, str, int]]) -> None:
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO streams VALUES (?, ?, ?, ?)", _checked(streams))
            connection.execute("DELETE FROM log WHERE number <= ?", (up_to,))
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('next_log', ?)", (str(next_log),))

    def oldest_log(self, up_to: int, size_bytes: int) -> list[int]:
        with self._errors():
            numbers: list[int] = []
            found = self._writer.execute("SELECT number, size FROM log WHERE number <= ? ORDER BY number", (up_to,))
            for number, size in found:
                if numbers and size_bytes < size:
                    break
                numbers.append(number)
                size_bytes -= size
            found.close()
            return numbers

    def drop_host(self, mark: HostMark, chunks: Sequence[ChunkEntry]) -> None:
        with self._transaction() as connection:
            self._delete(connection, "chunks", [entry.id for entry in chunks])
            self._insert_entries(connection, [entry._replace(host=-entry.host) for entry in chunks])
            connection.execute("DELETE FROM streams WHERE host = ?", (mark.host,))
            connection.executemany("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)", _checked([mark]))

    def add_catalogues(self, catalogues: Sequence[CatalogueRow]) -> None:
        with self._transaction() as connection:
            connection.executemany("INSERT INTO catalogues VALUES (?, ?, ?, ?, ?)", _checked(catalogues))

    def delete_catalogues(self, numbers: Sequence[int]) -> None:
        with self._transaction() as connection:
            connection.executemany("DELETE FROM catalogues WHERE number = ?", [(number,) for number in numbers])

    def set_meta(self, values: dict[str, str]) -> None:
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(values.items()))

    def meta(self) -> dict[str, str]:
        with self._errors():
            return dict(self._writer.execute("SELECT key, value FROM meta").fetchall())

    @contextlib.contextmanager
    def reader(self) -> Iterator[SqliteBodies]:
        with self._reader_slots.slot(), self._errors():
            try:
                connection = self._readers.get_nowait()
            except queue.Empty:
                connection = self._open_reader()
            try:
                yield SqliteBodies(connection)
            finally:
                self._readers.put(connection)

    def sizes(self) -> Sizes:
        with self.reader() as bodies:
            pages, free = bodies.pages()
        wal = self.path.with_name(self.path.name + "-wal")
        wal_bytes = wal.stat().st_size if wal.exists() else 0
        return Sizes(pages * PAGE_BYTES, wal_bytes, free * PAGE_BYTES)

    def shrink(self, size_bytes: int) -> None:
        with self._errors():
            # It gives back one page a step, without a column; only executescript goes on stepping then.
            self._writer.executescript(f"PRAGMA incremental_vacuum({max(1, size_bytes // PAGE_BYTES)})")

    def check(self) -> list[str]:
        with self.reader() as bodies:
            return bodies.quick_check()

    def reopen(self) -> None:
        # After a failed fsync the kernel may call dirty pages clean, so a second fsync proves nothing. What can be read
        # is copied into the database and synced as new writes before anything of it counts as stored.
        with self._reader_slots.all():
            self._close_connections()
        with self._errors():
            self._writer = self._open_writer()
            busy, _, _ = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise sqlite3.OperationalError("the log could not be emptied while it is being read")

    def close(self) -> None:
        with self._reader_slots.all():
            with contextlib.suppress(StorageError):  # whatever is wrong, the file is as good as it was
                self.shrink(_CLOSING_BYTES)
            self._close_connections()
        self._lock.release()

    def _open_writer(self) -> sqlite3.Connection:
        with self._errors():
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=10)
            # A damaged text is found by its row's checksum; it must not stop the reading of the others.
            connection.text_factory = lambda data: data.decode(errors="surrogateescape")
            try:
                for pragma in _WRITER_PRAGMAS:
                    connection.execute(pragma)
                upgrade(connection, self.path)
            except BaseException:
                connection.close()
                raise
            return connection

    def _open_reader(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
        )
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -4000")
        return connection

    def _close_connections(self) -> None:
        # Readers first: the last connection to close does a checkpoint, and that has to be the writer.
        with contextlib.suppress(queue.Empty):
            while True:
                self._readers.get_nowait().close()
        with contextlib.suppress(sqlite3.Error):
            self._writer.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._errors():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._writer.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise storage_error(self.path, error) from error
        except UnicodeDecodeError as error:  # a name in the damaged schema
            raise corrupt(self.path, "its tables are damaged") from error

    def _insert_chunks(self, connection: sqlite3.Connection, chunks: Sequence[tuple[ChunkEntry, bytes]]) -> None:
        self._insert_entries(connection, [entry for entry, _ in chunks])
        connection.executemany("INSERT INTO chunk_bodies VALUES (?, ?)", [(entry.id, body) for entry, body in chunks])

    def _delete_chunks(self, connection: sqlite3.Connection, ids: Sequence[int]) -> None:
        self._delete(connection, "chunks", ids)
        self._delete(connection, "chunk_bodies", ids)

    @staticmethod
    def _insert_entries(connection: sqlite3.Connection, entries: Sequence[ChunkEntry]) -> None:
        connection.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", _checked(entries))

    @staticmethod
    def _delete(connection: sqlite3.Connection, table: str, ids: Sequence[int]) -> None:
        connection.executemany(f"DELETE FROM {table} WHERE id = ?", [(one,) for one in ids])  # noqa: S608 - names of ours


class SqliteBodies:
    """Chunk bodies through one read-only connection; a slice is read without the rest of its blob."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def open(self, chunk_id: int) -> AbstractContextManager[Read]:
        return self._open("chunk_bodies", chunk_id)

    def log_head(self, number: int) -> bytes:
        found = self._connection.execute("SELECT head FROM log WHERE number = ?", (number,)).fetchone()
        if found is None:
            raise ChunkGoneError
        return _bytes(found[0])

    def log_body(self, number: int) -> AbstractContextManager[Read]:
        return self._open("log", number)

    @contextlib.contextmanager
    def _open(self, table: str, number: int) -> Iterator[Read]:
        try:
            blob = self._connection.blobopen(table, "body", number, readonly=True)
        except sqlite3.OperationalError as error:
            if "no such rowid" in str(error):
                raise ChunkGoneError from None
            if "cannot open value" in str(error):  # its type is damaged
                raise DamagedChunkError(str(error)) from None
            raise

        def read(offset: int, length: int) -> bytes:
            try:
                blob.seek(min(offset, len(blob)))
                return blob.read(length)
            except (sqlite3.DatabaseError, ValueError, OverflowError) as error:
                if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_ABORT:
                    raise ChunkGoneError from None
                raise DamagedChunkError(str(error)) from error

        with blob:
            yield read

    def pages(self) -> tuple[int, int]:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        return pages, free

    def quick_check(self) -> list[str]:
        try:
            found = [row[0] for row in self._connection.execute("PRAGMA quick_check(20)")]
        except sqlite3.DatabaseError as error:
            return [str(error)]
        return [] if found == ["ok"] else found


class _ReaderSlots:
    """At most so many readers at once; the others wait. Closing takes all slots, so it waits for the readers."""

    def __init__(self) -> None:
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(_MAX_READERS):
            self._free.put(None)

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        self._free.get()
        try:
            yield
        finally:
            self._free.put(None)

    @contextlib.contextmanager
    def all(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for _ in range(_MAX_READERS):
                stack.enter_context(self.slot())
            yield


def sound_rows(connection: sqlite3.Connection, table: str, damage: list[str]) -> Iterator[tuple[Any, ...]]:
    """The rows of a table, without their checksums; those that do not match are left out and told."""
    for *row, checksum in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - names of ours
        if checksum_of(row) == checksum:
            yield tuple(row)
        else:
            damage.append(f"A row of the table {table} is damaged and left out: {str(row[:8])[:200]}.")


def checksum_of(row: Sequence[object]) -> int:
    """What is stored beside a row."""
    return zlib.crc32(repr(list(row)).encode())


def _checked(rows: Iterable[Sequence[object]]) -> list[tuple[object, ...]]:
    return [(*row, checksum_of(row)) for row in rows]


def _bytes(value: object) -> bytes:
    """A blob; of what a flipped bit made something else, bytes that are none of ours."""
    return value if isinstance(value, bytes) else b"?"
