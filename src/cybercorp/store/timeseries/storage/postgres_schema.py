"""The tables of the samples on PostgreSQL, and the way from every older schema to this one.

    log           RANGE (number)       one partition holds LOG_SPAN commits, so it is a stretch of time
    chunk_bodies  RANGE (tier, at_ms)  one partition holds a span of time of one tier (see `postgres_partitions`)

`chunks` tells of each chunk in which partition its body lies.
"""

from __future__ import annotations

from typing import Any

import psycopg

from cybercorp.core.errors import StorageCorruptError
from cybercorp.store.postgres import Database

SCHEMA_NAME = "cybercorp_samples"
WRITER_LOCK = 1
RESTORING = "restoring"
_SCHEMA_KEY = "schema"

# Item i turns schema i into i + 1. Bodies are compressed already: EXTERNAL keeps PostgreSQL from trying again and lets
# it read a slice without the rest.
UPGRADES: tuple[str, ...] = (
    """
    CREATE TABLE meta (key text PRIMARY KEY, value text NOT NULL);
    CREATE TABLE catalogues (
        number bigint PRIMARY KEY, id text NOT NULL UNIQUE, width integer NOT NULL, packed bytea NOT NULL
    );
    CREATE TABLE streams (
        host bigint NOT NULL, stream bytea NOT NULL, acked bigint NOT NULL, PRIMARY KEY (host, stream)
    ) WITH (fillfactor = 70);
    CREATE TABLE marks (host bigint PRIMARY KEY, sealed bigint NOT NULL, dropped bigint NOT NULL)
        WITH (fillfactor = 70);
    CREATE TABLE log (
        number bigint PRIMARY KEY, received_ms bigint NOT NULL, size bigint NOT NULL, head bytea NOT NULL,
        body bytea NOT NULL
    ) PARTITION BY RANGE (number);
    ALTER TABLE log ALTER head SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL;
    CREATE TABLE chunks (
        id bigint PRIMARY KEY, host bigint NOT NULL, kind smallint NOT NULL, catalogue bigint NOT NULL,
        bucket bigint NOT NULL, first bigint NOT NULL, last bigint NOT NULL,
        start_ms bigint NOT NULL, end_ms bigint NOT NULL,
        rows bigint NOT NULL, size_bytes bigint NOT NULL, received_ms bigint NOT NULL,
        tier smallint NOT NULL, at_ms bigint NOT NULL
    );
    CREATE TABLE chunk_bodies (
        tier smallint NOT NULL, at_ms bigint NOT NULL, id bigint NOT NULL, body bytea NOT NULL,
        PRIMARY KEY (tier, at_ms, id)
    ) PARTITION BY RANGE (tier, at_ms);
    ALTER TABLE chunk_bodies ALTER body SET STORAGE EXTERNAL
    """,
)
SCHEMA = len(UPGRADES)


def upgrade(database: Database, connection: psycopg.Connection[Any]) -> None:
    """Bring the tables to this version's schema, each step in a transaction of its own.

    Raises StorageNewerError, StorageCorruptError (the tables are not ours) and StorageErrors.
    """
    try:
        found = schema_of(database, connection)
        if found > SCHEMA:
            raise database.newer(found, SCHEMA)
        for number in range(found, SCHEMA):
            with connection.transaction():
                connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{database.schema}"'.encode())
                connection.execute(UPGRADES[number].encode())
                connection.execute(
                    "INSERT INTO meta VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    (_SCHEMA_KEY, str(number + 1)),
                )
    except psycopg.Error as error:
        raise database.error(error) from error


def schema_of(database: Database, connection: psycopg.Connection[Any]) -> int:
    """The schema that is there, 0 where there is none. Raises StorageCorruptError."""
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (database.schema,)).fetchall()
    tables = {name for (name,) in found}
    if not tables:
        return 0
    reason = f"its tables in the schema {database.schema} are not ours"
    hint = "Name another database in database_url."
    if "meta" not in tables:
        raise StorageCorruptError(f"{database.shown} cannot be used: {reason}.", hint=hint)
    row = connection.execute("SELECT value FROM meta WHERE key = %s", (_SCHEMA_KEY,)).fetchone()
    if row is None or not row[0].isdigit():
        raise StorageCorruptError(f"{database.shown} cannot be used: {reason}.", hint=hint)
    return int(row[0])
