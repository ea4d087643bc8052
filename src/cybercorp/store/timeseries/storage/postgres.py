"""The time-series storage on PostgreSQL: one writer session that holds the lock of the only writer, and readers.

Every commit is durable (synchronous_commit) before the engine hears of it. Nothing waits longer than some seconds:
then the error says whether to come again. After a lost connection the engine calls `reopen` and reads everything anew,
because it cannot know whether its last commit arrived.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import psycopg

from cybercorp.core.errors import ConflictError, StorageBusyError, StorageCorruptError
from cybercorp.store.postgres import WAIT_S, Database, take_lock
from cybercorp.store.timeseries.storage.contract import CatalogueRow, ChunkEntry, HostMark, Loaded, LogEntry, Sizes
from cybercorp.store.timeseries.storage.postgres_partitions import (
    FRESH,
    BodyPartitions,
    LogPartitions,
    Part,
    part_at,
    part_of,
)
from cybercorp.store.timeseries.storage.postgres_reading import PostgresBodies, Readers
from cybercorp.store.timeseries.storage.postgres_schema import RESTORING, SCHEMA_NAME, WRITER_LOCK, upgrade

_STALE_HOURS = 9  # later than the last merge of what came in an hour
_TRIMMED = "trimmed"
_NEXT_LOG = "next_log"
_LOAD_ROWS = 20_000
_LOAD_HEADS = 500
_ENTRY = ", ".join(ChunkEntry._fields)
_COPY_CHUNKS = f"COPY chunks ({_ENTRY}, tier, at_ms) FROM STDIN (FORMAT BINARY)"
_COPY_BODIES = "COPY chunk_bodies (tier, at_ms, id, body) FROM STDIN (FORMAT BINARY)"
_COPY_LOG = "COPY log (number, received_ms, size, head, body) FROM STDIN (FORMAT BINARY)"
_CHUNK_TYPES = [*["int8"] * 2, "int2", *["int8"] * 9, "int2", "int8"]
_PUT_CATALOGUE = "INSERT INTO catalogues VALUES (%s, %s, %s, %s)"
_PUT_META = "INSERT INTO meta VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_PUT_MARK = (
    "INSERT INTO marks VALUES (%s, %s, %s)"
    " ON CONFLICT (host) DO UPDATE SET sealed = excluded.sealed, dropped = excluded.dropped"
)
_PUT_STREAMS = (
    "INSERT INTO streams SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::bigint[])"
    " ON CONFLICT (host, stream) DO UPDATE SET acked = excluded.acked"
)
_DELETE = "DELETE FROM chunks WHERE id = ANY(%s) RETURNING id, tier, at_ms, size_bytes"
_LOST = (
    "SELECT id FROM chunks WHERE NOT EXISTS (SELECT FROM chunk_bodies body"
    " WHERE body.tier = chunks.tier AND body.at_ms = chunks.at_ms AND body.id = chunks.id) ORDER BY id LIMIT 20"
)
_TRIMMED_SIZE = "SELECT coalesce(sum(size), 0) FROM log WHERE number <= %s"
_SIZE = "SELECT coalesce(sum(pg_table_size(oid) + pg_indexes_size(oid)), 0) FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'"  # noqa: E501


class PostgresStorage:
    """ChunkStorage in one schema of a database. The caller lets only one thread at a time call what writes."""

    def __init__(self, url: str, read_url: str = "", *, restoring: bool = False, schema: str = SCHEMA_NAME) -> None:
        """Connect, make or upgrade the tables, and be the only writer; `read_url` is a replica for reading bodies.

        Raises ConflictError (`storage_in_use`), StorageNewerError, StorageUnreachableError, StorageUnwritableError,
        StorageCorruptError (also for a restore that was not finished, unless `restoring`), StorageError.
        """
        self.database = Database(url, schema)
        self._replica = Database(read_url, schema) if read_url else None
        self._bodies, self._log = BodyPartitions(), LogPartitions()
        self._trimmed = 0
        self._readers = Readers(self.database, self._replica)
        self._writer = self._connect()
        try:
            upgrade(self.database, self._writer)
            if not restoring and RESTORING in self.meta():
                raise StorageCorruptError(
                    f"{self.database.shown} holds a restore that was not finished.",
                    hint="Restore again: cybercorp server restore FILE",
                )
            self._look_around()
        except BaseException:
            self.close()
            raise

    def load(self) -> Loaded:
        with self._errors():
            self._look_around()
            meta = self.meta()
            catalogues = self._writer.execute("SELECT number, id, width, packed FROM catalogues ORDER BY number")
            streams = self._writer.execute("SELECT host, stream, acked FROM streams")
            marks = [HostMark._make(row) for row in self._writer.execute("SELECT host, sealed, dropped FROM marks")]
            newest = self._writer.execute("SELECT coalesce(max(number), 0) FROM log").fetchone()
            known = [self._trimmed, newest[0] if newest else 0, *(max(one.sealed, one.dropped) for one in marks)]
            return Loaded(
                catalogues=[CatalogueRow._make(row) for row in catalogues],
                chunks=[ChunkEntry._make(row) for row in self._stream(f"SELECT {_ENTRY} FROM chunks")],  # noqa: S608
                streams=[(host, stream.decode(errors="surrogatepass"), acked) for host, stream, acked in streams],
                marks=marks,
                next_log=max(max(known) + 1, int(meta.get(_NEXT_LOG, "0"))),
                damage=[],
            )

    def log_heads(self) -> Iterator[tuple[int, int, bytes]]:
        with self._errors():
            wanted = f"SELECT number, received_ms, head FROM log WHERE number > {self._trimmed} ORDER BY number"  # noqa: S608
            rows: Iterator[tuple[int, int, bytes]] = self._stream(wanted, _LOAD_HEADS)
            yield from rows

    def append(self, entry: LogEntry, catalogues: Sequence[CatalogueRow]) -> None:
        with self._errors():
            self._log.ensure(self._writer, entry.number)
            row = (entry.number, entry.received_ms, len(entry.head) + len(entry.body), entry.head, entry.body)
            if not catalogues:
                self._copy(_COPY_LOG, ["int8", "int8", "int8", "bytea", "bytea"], [row])
                return
            with self._writer.transaction(), self._writer.cursor() as cursor:
                cursor.executemany(_PUT_CATALOGUE, catalogues)
                self._copy(_COPY_LOG, ["int8", "int8", "int8", "bytea", "bytea"], [row])

    def add_chunks(
        self, chunks: Sequence[tuple[ChunkEntry, bytes]], marks: Sequence[HostMark], *, settled: bool = False
    ) -> None:
        with self._errors():
            placed = [(part_of(entry, settled=settled), entry, body) for entry, body in chunks]
            self._bodies.ensure(self._writer, [part for part, _, _ in placed])
            with self._writer.transaction(), self._writer.cursor() as cursor:
                self._insert(placed)
                if marks:
                    cursor.executemany(_PUT_MARK, marks)
            for part, _, _ in placed:
                self._bodies.added(part)

    def replace_chunks(self, old: Sequence[int], entry: ChunkEntry, body: bytes) -> None:
        with self._errors():
            part = part_of(entry)
            self._bodies.ensure(self._writer, [part])
            with self._writer.transaction():
                removed = self._remove(old)
                self._insert([(part, entry, body)])
            self._bodies.added(part)
            self._removed(removed)

    def delete_chunks(self, ids: Sequence[int]) -> None:
        with self._errors():
            with self._writer.transaction():
                removed = self._remove(ids)
            self._removed(removed)

    def drop_before(self, kind: int, before_ms: int, ids: Sequence[int]) -> None:
        # Bodies are left where they lie: their partitions go when the last chunk of each is dropped.
        with self._errors():
            found = self._writer.execute(_DELETE, (list(ids),)).fetchall()
            self._removed([(part_at(tier, at_ms), size, True) for _, tier, at_ms, size in found])

    def trim_log(self, up_to: int, next_log: int, streams: Sequence[tuple[int, str, int]]) -> None:
        with self._errors():
            with self._writer.transaction():
                self._put_streams(streams)
                self._put_meta({_TRIMMED: str(max(up_to, self._trimmed)), _NEXT_LOG: str(next_log)})
            self._trimmed = max(up_to, self._trimmed)
            self._log.drop_until(self._writer, self._trimmed)
            self._settle_stale()
            self._bodies.drop_empty(self._writer)

    def oldest_log(self, up_to: int, size_bytes: int) -> list[int]:
        # Trimming moves a mark and drops whole partitions: there is no need for small steps.
        with self._errors():
            found = self._writer.execute(
                "SELECT number FROM log WHERE number > %s AND number <= %s ORDER BY number", (self._trimmed, up_to)
            )
            return [number for (number,) in found.fetchall()]

    def drop_host(self, mark: HostMark, chunks: Sequence[ChunkEntry]) -> None:
        with self._errors(), self._writer.transaction():
            ids = [entry.id for entry in chunks]
            self._writer.execute("UPDATE chunks SET host = -host WHERE id = ANY(%s) AND host > 0", (ids,))
            self._writer.execute("DELETE FROM streams WHERE host = %s", (mark.host,))
            self._writer.execute(_PUT_MARK, mark)

    def add_catalogues(self, catalogues: Sequence[CatalogueRow]) -> None:
        with self._errors(), self._writer.transaction(), self._writer.cursor() as cursor:
            cursor.executemany(_PUT_CATALOGUE, catalogues)

    def delete_catalogues(self, numbers: Sequence[int]) -> None:
        with self._errors():
            self._writer.execute("DELETE FROM catalogues WHERE number = ANY(%s)", (list(numbers),))

    def set_meta(self, values: dict[str, str]) -> None:
        with self._errors(), self._writer.transaction():
            self._put_meta(values)

    def delete_meta(self, key: str) -> None:
        """Forget one value."""
        with self._errors():
            self._writer.execute("DELETE FROM meta WHERE key = %s", (key,))

    def meta(self) -> dict[str, str]:
        with self._errors():
            return dict(self._writer.execute("SELECT key, value FROM meta").fetchall())

    def reader(self) -> AbstractContextManager[PostgresBodies]:
        return self._readers.reader()

    def sizes(self) -> Sizes:
        with self._readers.primary() as connection:
            size = connection.execute(_SIZE.encode(), (self.database.schema,)).fetchone()
            trimmed = connection.execute(_TRIMMED_SIZE, (self._trimmed,)).fetchone()
        wasted = sum(list(self._bodies.wasted_bytes.values())) + int(trimmed[0] if trimmed else 0)
        return Sizes(int(size[0]) if size else 0, 0, wasted)

    def shrink(self, size_bytes: int) -> None:
        with self._errors():
            self._bodies.drop_empty(self._writer)

    def check(self) -> Iterable[str]:
        with self._readers.primary() as connection:
            lost = [f"The body of chunk {number} is gone." for (number,) in connection.execute(_LOST.encode())]
            checksums = connection.execute("SHOW data_checksums").fetchone()
        return lost if checksums else [*lost, "PostgreSQL does not tell whether it checks its pages."]

    def reopen(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._writer.close()
        self._readers.forget_idle()
        try:
            self._writer = self._connect()
        except ConflictError as error:  # its old session still holds it, or another server was faster
            raise StorageBusyError(error.message, hint=error.hint, code=error.error_code) from error
        with self._errors():
            self._look_around()

    def close(self) -> None:
        self._readers.close()
        with contextlib.suppress(psycopg.Error):
            self._writer.close()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A session that is the only one to write."""
        writer = self.database.connect()
        try:
            setting = writer.execute("SHOW synchronous_commit").fetchone()
            if setting == ("off",):
                writer.execute("SET synchronous_commit = on")
            if not take_lock(self.database, writer, WRITER_LOCK, WAIT_S / 2):
                raise self.database.in_use()
        except psycopg.Error as error:
            writer.close()
            raise self.database.error(error) from error
        except BaseException:
            writer.close()
            raise
        return writer

    def _look_around(self) -> None:
        with self._errors():
            self._log.load(self._writer)
            self._bodies.load(self._writer)
            self._trimmed = int(self.meta().get(_TRIMMED, "0"))

    def _stream(self, statement: str, at_once: int = _LOAD_ROWS) -> Iterator[tuple[Any, ...]]:
        """Rows of a large answer, so many at a time."""
        with self._writer.transaction(), self._writer.cursor("stream", binary=True) as cursor:
            cursor.itersize = at_once
            yield from cursor.execute(statement.encode())

    def _copy(self, statement: str, types: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        with self._writer.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    def _insert(self, placed: Sequence[tuple[Part, ChunkEntry, bytes]]) -> None:
        if placed:
            self._copy(_COPY_CHUNKS, _CHUNK_TYPES, [(*entry, part.tier, part.at_ms) for part, entry, _ in placed])
            bodies = [(part.tier, part.at_ms, entry.id, body) for part, entry, body in placed]
            self._copy(_COPY_BODIES, ["int2", "int8", "int8", "bytea"], bodies)

    def _remove(self, ids: Sequence[int]) -> list[tuple[Part, int, bool]]:
        """Delete chunks: where each was, its bytes, and whether they stay as waste."""
        removed, bodies = [], []
        for number, tier, at_ms, size in self._writer.execute(_DELETE, (list(ids),)).fetchall():
            removed.append((part_at(tier, at_ms), size, tier == FRESH))
            if tier != FRESH:
                bodies.append((tier, at_ms, number))
        if bodies:
            with self._writer.cursor() as cursor:
                cursor.executemany("DELETE FROM chunk_bodies WHERE tier = %s AND at_ms = %s AND id = %s", bodies)
        return removed

    def _removed(self, removed: Iterable[tuple[Part, int, bool]]) -> None:
        emptied = [self._bodies.removed(part, size, wasted=wasted) for part, size, wasted in removed]
        if any(emptied):
            self._bodies.drop_empty(self._writer)

    def _put_streams(self, streams: Sequence[tuple[int, str, int]]) -> None:
        if streams:
            names = [stream.encode(errors="surrogatepass") for _, stream, _ in streams]
            hosts, acked = [host for host, _, _ in streams], [number for _, _, number in streams]
            self._writer.execute(_PUT_STREAMS, (hosts, names, acked))

    def _put_meta(self, values: dict[str, str]) -> None:
        with self._writer.cursor() as cursor:
            cursor.executemany(_PUT_META, list(values.items()))

    def _settle_stale(self) -> None:
        """Chunks that nothing merges must not hold an old hour: they move to the partition of their own time."""
        for part in list(self._bodies.stale(_STALE_HOURS)):
            found = self._writer.execute(
                f"SELECT {_ENTRY} FROM chunks WHERE tier = %s AND at_ms = %s",  # noqa: S608 - names of ours
                (part.tier, part.at_ms),
            ).fetchall()
            moved = [(part_of(entry, settled=True), entry) for entry in map(ChunkEntry._make, found)]
            self._bodies.ensure(self._writer, [goal for goal, _ in moved])
            with self._writer.transaction(), self._writer.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO chunk_bodies SELECT %s, %s, id, body FROM chunk_bodies"
                    " WHERE tier = %s AND at_ms = %s AND id = %s",
                    [(goal.tier, goal.at_ms, part.tier, part.at_ms, entry.id) for goal, entry in moved],
                )
                cursor.executemany(
                    "UPDATE chunks SET tier = %s, at_ms = %s WHERE id = %s",
                    [(goal.tier, goal.at_ms, entry.id) for goal, entry in moved],
                )
            for goal, entry in moved:
                self._bodies.added(goal)
                self._bodies.removed(part, entry.size_bytes, wasted=True)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            found = self.database.error(error)
            if isinstance(found, StorageBusyError) and self._writer.closed:
                found = self.database.error(psycopg.OperationalError("the connection was lost"))
            raise found from error
