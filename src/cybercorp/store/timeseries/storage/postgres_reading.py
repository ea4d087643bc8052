"""Reading bodies on PostgreSQL: a small pool for each address, the replica first where there is one.

Every wait is bounded: for a free connection, for a new one, for an answer.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import select
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from cybercorp.core.errors import StorageBusyError, StorageError
from cybercorp.store.postgres import WAIT_S, Database
from cybercorp.store.timeseries.encoding.chunks import DamagedChunkError, Read
from cybercorp.store.timeseries.storage.contract import ChunkGoneError

_LOG = logging.getLogger("cybercorp.store")
Connection = psycopg.Connection[tuple[Any, ...]]
MAX_READERS = 8
FIRST_BYTES = 32 * 1024  # read with the first question: all of a small chunk, or the directory of a long one
_AVOID_S = 5.0
_REST_S = 0.5  # nobody waits for a server that did not answer the one before
_SESSION = {
    "default_transaction_read_only": "on",
    "statement_timeout": "30s",
    # The partition is chosen when the statement runs; planning for it anew each time costs ten times the reading.
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
_BODY = """
    SELECT octet_length(body), substring(body FROM 1 FOR %s), tier, at_ms FROM chunk_bodies
    WHERE tier = (SELECT tier FROM chunks WHERE id = %s) AND at_ms = (SELECT at_ms FROM chunks WHERE id = %s)
        AND id = %s
"""
_SLICE = "SELECT substring(body FROM %s FOR %s) FROM chunk_bodies WHERE tier = %s AND at_ms = %s AND id = %s"
_LOG_HEAD = "SELECT head FROM log WHERE number = %s"
_LOG_BODY = "SELECT octet_length(body), substring(body FROM 1 FOR %s) FROM log WHERE number = %s"
_LOG_SLICE = "SELECT substring(body FROM %s FOR %s) FROM log WHERE number = %s"


class ReaderPool:
    """At most MAX_READERS connections to one address, made when they are needed and lent to one thread at a time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._slots = threading.BoundedSemaphore(MAX_READERS)
        self._idle: queue.LifoQueue[Connection] = queue.LifoQueue()
        self._closed = False
        self._failed: tuple[float, StorageError] | None = None

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend one. Raises StorageBusyError, StorageUnreachableError, StorageError."""
        if not self._slots.acquire(timeout=WAIT_S):
            raise StorageBusyError(
                f"All {MAX_READERS} connections to {self.database.shown} are in use.",
                hint="Try again; ask for less at a time.",
            )
        try:
            connection = self._take()
            try:
                yield connection
            except psycopg.Error as error:
                raise self.database.error(error) from error
            finally:
                self._give_back(connection)
        finally:
            self._slots.release()

    def forget_idle(self) -> None:
        """Close what nobody uses now: the server behind it was restarted."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def close(self) -> None:
        """Close all; those that are lent are closed when they come back."""
        self._closed = True
        self.forget_idle()

    def _take(self) -> Connection:
        with contextlib.suppress(queue.Empty):
            while True:
                connection = self._idle.get_nowait()
                if _is_alive(connection):
                    return connection
                connection.close()
        if self._failed is not None and time.monotonic() < self._failed[0]:
            error = self._failed[1]
            raise type(error)(error.message, hint=error.hint)
        try:
            connection = self.database.connect(_SESSION)
        except StorageError as error:
            self._failed = time.monotonic() + _REST_S, error
            raise
        self._failed = None
        return connection

    def _give_back(self, connection: Connection) -> None:
        if self._closed or connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            connection.close()
        else:
            self._idle.put(connection)


class Readers:
    """Lends what reads bodies: from the replica while it answers, else from the primary."""

    def __init__(self, primary: Database, replica: Database | None) -> None:
        self.database = replica or primary
        self._primary = ReaderPool(primary)
        self._replica = ReaderPool(replica) if replica else None
        self._avoid_until = 0.0
        self._told = False

    @contextlib.contextmanager
    def reader(self) -> Iterator[PostgresBodies]:
        """Raises StorageBusyError, StorageUnreachableError, StorageError; the bodies do as well."""
        with contextlib.ExitStack() as stack:
            yield PostgresBodies(self, stack)

    @contextlib.contextmanager
    def primary(self) -> Iterator[Connection]:
        with self._primary.connection() as connection:
            yield connection

    def lend(self, stack: contextlib.ExitStack) -> tuple[Connection, bool]:
        """A connection until the stack is closed, and whether it is the primary's."""
        if self._replica and time.monotonic() >= self._avoid_until:
            try:
                connection = stack.enter_context(self._replica.connection())
            except StorageError as error:
                self.avoid_replica(str(error))
            else:
                self._told = False
                return connection, False
        return self.lend_primary(stack), True

    def lend_primary(self, stack: contextlib.ExitStack) -> Connection:
        return stack.enter_context(self._primary.connection())

    def avoid_replica(self, reason: str) -> None:
        """It does not answer: leave it alone for some seconds, and say so once."""
        self._avoid_until = time.monotonic() + _AVOID_S
        if not self._told:
            self._told = True
            _LOG.warning("History is read from the primary for now. %s", reason)

    def forget_idle(self) -> None:
        for pool in (self._primary, self._replica):
            if pool:
                pool.forget_idle()

    def close(self) -> None:
        for pool in (self._primary, self._replica):
            if pool:
                pool.close()


class PostgresBodies:
    """Chunk bodies and log entries; what the replica does not have (yet) is read from the primary."""

    def __init__(self, readers: Readers, stack: contextlib.ExitStack) -> None:
        self._readers = readers
        self._stack = stack
        self._connection: Connection | None = None
        self._is_primary = False

    @contextlib.contextmanager
    def open(self, chunk_id: int) -> Iterator[Read]:
        length, first, tier, at_ms = self._row(_BODY, (FIRST_BYTES, chunk_id, chunk_id, chunk_id))
        yield self._reading(length, first, _SLICE, (tier, at_ms, chunk_id))

    def log_head(self, number: int) -> bytes:
        head: bytes = self._row(_LOG_HEAD, (number,))[0]
        return head

    @contextlib.contextmanager
    def log_body(self, number: int) -> Iterator[Read]:
        length, first = self._row(_LOG_BODY, (FIRST_BYTES, number))
        yield self._reading(length, first, _LOG_SLICE, (number,))

    def _reading(self, length: int, first: bytes, statement: str, place: tuple[int, ...]) -> Read:
        def read(offset: int, count: int) -> bytes:
            end = min(offset + count, length)
            if end <= len(first):
                return first[offset:end]
            found: bytes = self._row(statement, (offset + 1, max(0, end - offset), *place))[0]
            return found

        return read

    def _row(self, statement: str, parameters: tuple[int, ...]) -> tuple[Any, ...]:
        """The only row. Raises ChunkGoneError, DamagedChunkError, StorageError."""
        if self._connection is None:
            self._connection, self._is_primary = self._readers.lend(self._stack)
        try:
            row = _ask(self._connection, statement, parameters)
        except (psycopg.errors.DataCorrupted, psycopg.errors.IndexCorrupted) as error:
            raise DamagedChunkError(str(error)) from error
        except psycopg.Error as error:
            if self._is_primary:
                raise
            self._readers.avoid_replica(str(self._readers.database.error(error)))
            row = None
        if row is None and not self._is_primary:
            self._connection, self._is_primary = self._readers.lend_primary(self._stack), True
            row = _ask(self._connection, statement, parameters)
        if row is None:
            raise ChunkGoneError
        return row


def _ask(connection: Connection, statement: str, parameters: tuple[int, ...]) -> tuple[Any, ...] | None:
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(statement.encode(), parameters).fetchone()


def _is_alive(connection: Connection) -> bool:
    """Whether the server has kept it open: a closed one has an end of file to read, an idle one has nothing."""
    if connection.closed:
        return False
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        return not poll.poll(0)
    except (OSError, psycopg.Error):
        return False
