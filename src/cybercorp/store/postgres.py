"""What both stores share on PostgreSQL: addresses, connections, who may write, and its errors in our words.

It must not know what is in the tables. A password never leaves this module in a text.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from cybercorp.core.errors import (
    ConflictError,
    SettingsError,
    StorageBusyError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageNewerError,
    StorageUnreachableError,
    StorageUnwritableError,
)
from cybercorp.security.display import safe_text
from cybercorp.store.database_urls import check_url, shown

WAIT_S = 2
OLDEST_VERSION = 140_000
_LOCK_CLASS = 0x43794331  # "CyC1"
_LOCK_STEP_S = 0.05
_OPTIONS = {
    "lock_timeout": f"{WAIT_S}s",
    "idle_in_transaction_session_timeout": "5min",
    "client_min_messages": "warning",
    "timezone": "UTC",
    # A server that lost its machine must not hold the lock of the only writer for hours.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
_SOCKET: dict[str, Any] = {
    "connect_timeout": WAIT_S,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
    "application_name": "cybercorp",
}
_AWAY = ("08", "57P")  # connection exceptions; shut down, crashed, starting
_BUSY = {"55P03", "57014", "40001", "40P01", "53300"}
_DAMAGED = ("XX001", "XX002", "42P01", "42703")
_REFUSED = re.compile(r"password authentication failed|no password supplied|role .* does not exist|pg_hba|28P01")
_NO_DATABASE = re.compile(r'database "[^"]*" does not exist|3D000')
_TOO_MANY = re.compile(r"too many clients|connection slots|too many connections")


class Database:
    """The address of a PostgreSQL database, which is shown without its password."""

    def __init__(self, url: str, schema: str) -> None:
        """`schema` holds the tables. Raises SettingsError."""
        check_url("database_url", url)
        try:
            conninfo_to_dict(url)
        except psycopg.Error:
            hint = "Percent-encode what is no letter or digit: '@' in a password is %40."
            raise SettingsError("The address of the database cannot be read.", hint=hint) from None
        self.url = url
        self.schema = schema
        self.shown = shown(url)

    def __repr__(self) -> str:
        return f"Database({self.shown!r}, {self.schema!r})"

    def parameters(self, extra: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What psycopg connects with; `extra` are settings of the session."""
        given = conninfo_to_dict(self.url)
        settings = {**_OPTIONS, "search_path": self.schema, **(extra or {})}
        own = " ".join(f"-c {key}={value}" for key, value in settings.items())
        options = f"{given.pop('options', None) or ''} {own}".strip()
        return {**_SOCKET, **{key: value for key, value in given.items() if value is not None}, "options": options}

    def connect(self, extra: Mapping[str, str] | None = None) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection in autocommit mode. Raises StorageUnreachableError, StorageUnwritableError, StorageError."""
        try:
            connection = psycopg.connect(autocommit=True, prepare_threshold=2, **self.parameters(extra))
        except psycopg.Error as error:
            raise self.error(error) from error
        try:
            self._check_version(connection.info.server_version)
        except BaseException:
            connection.close()
            raise
        return connection

    async def connect_async(self, extra: Mapping[str, str] | None = None) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        """The same for an event loop, not in autocommit mode."""
        try:
            connection = await psycopg.AsyncConnection.connect(**self.parameters(extra))
        except psycopg.Error as error:
            raise self.error(error) from error
        try:
            self._check_version(connection.info.server_version)
        except BaseException:
            await connection.close()
            raise
        return connection

    def _check_version(self, found: int) -> None:
        if found < OLDEST_VERSION:
            raise StorageError(
                f"{self.shown} is PostgreSQL {found // 10_000}, which is too old.", hint="Use 14 or later."
            )

    def error(self, error: psycopg.Error) -> StorageError:
        """PostgreSQL's error as one of ours (appendix A of its manual). Busy and full: nothing was changed."""
        state, text = error.sqlstate or "", _one_line(error)
        if state in _BUSY or (not state and _TOO_MANY.search(text)):
            return StorageBusyError(
                f"{self.shown} did not answer in time: {text}.", hint="It is tried again; see what holds it up."
            )
        if state.startswith("53"):
            return StorageFullError(
                f"No space is left for {self.shown}: {text}.",
                hint="Free some space; agents keep their samples and send them again.",
            )
        if _REFUSED.search(f"{state} {text}"):
            return StorageUnwritableError(
                f"{self.shown} does not let us in: {text}.", hint="Check user and password in database_url."
            )
        if _NO_DATABASE.search(f"{state} {text}"):
            return StorageUnwritableError(
                f"{self.shown} is not there: {text}.", hint="Make the database first: createdb NAME"
            )
        if state in ("42501", "25006"):
            return StorageUnwritableError(
                f"{self.shown} cannot be written: {text}.",
                hint="Use the primary server, and a user that owns the database.",
            )
        if state.startswith(_DAMAGED):
            return StorageCorruptError(
                f"{self.shown} cannot be used: {text}.",
                hint="Restore a backup into an empty database: cybercorp server restore FILE",
            )
        if not state or state.startswith(_AWAY):
            return StorageUnreachableError(
                f"{self.shown} does not answer: {text}.",
                hint="Start PostgreSQL or check database_url; it is tried again, and agents keep their samples.",
            )
        return StorageError(f"{self.shown} could not be used: {text}.", hint="See PostgreSQL's own log.")

    def newer(self, found: object, known: object) -> StorageNewerError:
        """It has tables of a later version of ours."""
        return StorageNewerError(
            f"{self.shown} was written by a newer CyberCorp (schema {found}; this version knows {known}).",
            hint="Install that version, or name another database.",
        )

    def in_use(self) -> ConflictError:
        """Another process writes to it."""
        return ConflictError(
            f"Another CyberCorp server uses {self.shown}.",
            hint="Stop it first, or name another database.",
            code="storage_in_use",
        )


def lock_statement(number: int) -> str:
    """Asks for the lock that only one session of a database may hold."""
    return f"SELECT pg_try_advisory_lock({_LOCK_CLASS}, {number})"


def take_lock(database: Database, connection: psycopg.Connection[Any], number: int, wait_s: float) -> bool:
    """Be the only writer while this connection lives, or False after a wait. Raises StorageError.

    Whoever had it before us has ended its last transaction by then: nothing of it becomes visible later.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            row = connection.execute(lock_statement(number)).fetchone()
        except psycopg.Error as error:
            raise database.error(error) from error
        if row and row[0]:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOCK_STEP_S)


def _one_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or str(error) or type(error).__name__
    return safe_text(" ".join(text.split()).rstrip("."), 300)
