"""The tables of `records.db`. Times are integer Unix milliseconds; JSON is text, read and written by msgspec.

What is declared here must be what the migrations make: a test compares both.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, text

_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s",
    }
)

HOSTS = Table(
    "hosts",
    METADATA,
    Column("key", _ID, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("joined_at_ms", BigInteger, nullable=False),
    Column("seen_at_ms", BigInteger),
    Column("interval_ms", BigInteger, nullable=False),
    Column("removed_at_ms", BigInteger),
    # The name of a removed host may be taken again; its key is never reused, because history is stored under it.
    Index(
        "ix_hosts_name",
        "name",
        unique=True,
        sqlite_where=text("removed_at_ms IS NULL"),
        postgresql_where=text("removed_at_ms IS NULL"),
    ),
    sqlite_autoincrement=True,
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("hash", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("host_id", Text, index=True),
    Column("labels", Text, nullable=False),
    Column("uses_left", Integer),
    Column("expires_at_ms", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("time_ms", BigInteger, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("host_id", Text, index=True),
    Column("host", Text),
    Column("message", Text, nullable=False),
    Column("attributes", Text, nullable=False),
    sqlite_autoincrement=True,
)

META = Table(
    "meta",
    METADATA,
    Column("epoch", Text, nullable=False),
    Column("schema", Integer, nullable=False),
)
