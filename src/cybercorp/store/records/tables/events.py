"""Events."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table

from cybercorp.store.records.tables.columns import ID, METADATA, Words

EVENTS = Table(
    "events",
    METADATA,
    Column("id", ID, primary_key=True, autoincrement=True),
    Column("time_ms", BigInteger, nullable=False, index=True),
    Column("kind", Words, nullable=False),
    Column("severity", Words, nullable=False),
    Column("host_id", Words, index=True),
    Column("host", Words),
    Column("message", Words, nullable=False),
    Column("attributes", Words, nullable=False),
    sqlite_autoincrement=True,
)
