"""The tables of the records. Times are integer Unix milliseconds; JSON is text, read and written by msgspec.

What is declared here must be what the migrations make: a test compares both.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.types import TypeDecorator

_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER

_MARK = "\U0010ffff"  # a noncharacter, so nobody's text has it; where it has, it is marked as well


class Words(TypeDecorator[str]):
    """Text of anybody, kept as it is: PostgreSQL takes no NUL, which is written with a mark there."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace(_MARK, _MARK + "1").replace("\x00", _MARK + "0")

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        if value is None or dialect.name != "postgresql" or _MARK not in value:
            return value
        return value.replace(_MARK + "0", "\x00").replace(_MARK + "1", _MARK)


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

TOKENS = Table(
    "tokens",
    METADATA,
    Column("hash", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("host_id", Words, index=True),
    Column("labels", Words, nullable=False),
    Column("uses_left", Integer),
    Column("expires_at_ms", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("time_ms", BigInteger, nullable=False, index=True),
    Column("kind", Words, nullable=False),
    Column("severity", Words, nullable=False),
    Column("host_id", Words, index=True),
    Column("host", Words),
    Column("message", Words, nullable=False),
    Column("attributes", Words, nullable=False),
    sqlite_autoincrement=True,
)

META = Table(
    "meta",
    METADATA,
    Column("epoch", Words, nullable=False),
    Column("schema", Integer, nullable=False),
)
