"""The tables of `samples.db`, and the way from every older schema to this one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cybercorp.store.files import corrupt, newer

APPLICATION_ID = 0x43794331  # "CyC1"

# Item i turns schema i into i + 1. Chunk bodies live apart from their index, so that the index is read without
# them. SQLite has no checksums in its pages: what decides where a value belongs carries its own.
UPGRADES: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE catalogues (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, width INTEGER NOT NULL, packed BLOB NOT NULL,
        checksum INTEGER NOT NULL
    );
    CREATE TABLE streams (
        host INTEGER NOT NULL, stream TEXT NOT NULL, acked INTEGER NOT NULL, checksum INTEGER NOT NULL,
        PRIMARY KEY (host, stream)
    ) WITHOUT ROWID;
    CREATE TABLE marks (
        host INTEGER PRIMARY KEY, sealed INTEGER NOT NULL, dropped INTEGER NOT NULL, checksum INTEGER NOT NULL
    );
    CREATE TABLE log (
        number INTEGER PRIMARY KEY, received_ms INTEGER NOT NULL, size INTEGER NOT NULL, body BLOB NOT NULL
    );
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY, host INTEGER NOT NULL, kind INTEGER NOT NULL, catalogue INTEGER NOT NULL,
        bucket INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,
        rows INTEGER NOT NULL, size_bytes INTEGER NOT NULL, received_ms INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    );
    CREATE TABLE chunk_bodies (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
    """,
    # What is in a log entry is read without its values, so that a store opens fast with hours in the log.
    """
    ALTER TABLE log RENAME TO whole_log;
    CREATE TABLE log (
        number INTEGER PRIMARY KEY, received_ms INTEGER NOT NULL, size INTEGER NOT NULL, head BLOB NOT NULL,
        body BLOB NOT NULL
    );
    INSERT INTO log SELECT number, received_ms, size, x'', body FROM whole_log;
    DROP TABLE whole_log
    """,
)
SCHEMA = len(UPGRADES)


def upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file to this version's schema, each step in a transaction of its own.

    Raises StorageNewerError, and StorageCorruptError for a database of another program.
    """
    found = _schema_of(connection, path)
    if found > SCHEMA:
        raise newer(path, found, SCHEMA)
    for number in range(found, SCHEMA):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in UPGRADES[number].split(";"):
                connection.execute(statement)
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (str(number + 1),))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _schema_of(connection: sqlite3.Connection, path: Path) -> int:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return 0
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID or "meta" not in tables:
        raise corrupt(path, "it is a database of another program")
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    if row is None or not str(row[0]).isdigit():
        raise corrupt(path, "it does not tell its schema")
    return int(row[0])
