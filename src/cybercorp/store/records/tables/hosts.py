"""Hosts."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, text

from cybercorp.store.records.tables.columns import ID, METADATA, Words

HOSTS = Table(
    "hosts",
    METADATA,
    Column("key", ID, primary_key=True, autoincrement=True),
    Column("id", Words, nullable=False, unique=True),
    Column("name", Words, nullable=False),
    Column("labels", Words, nullable=False),
    Column("facts", Words, nullable=False),
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
