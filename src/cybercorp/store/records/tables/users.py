"""People and service accounts: who they are, how they prove it, where they are logged in."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table

from cybercorp.store.records.tables.columns import METADATA, Words

USERS = Table(
    "users",
    METADATA,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False, unique=True),
    Column("display_name", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("password_hash", Words),
    Column("password_changed_at_ms", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("disabled_at_ms", BigInteger),
    Column("removed_at_ms", BigInteger),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Words, primary_key=True),
    Column("user_id", Words, nullable=False, index=True),
    Column("client", Words, nullable=False),
    Column("network", Words, nullable=False),
    Column("user_agent", Words, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("idle_ms", BigInteger, nullable=False),
    Column("factors", Words, nullable=False),
    Column("stepped_up_at_ms", BigInteger),
    Column("ended_at_ms", BigInteger),
    Column("ended_reason", Words),
)

REFRESH_TOKENS = Table(
    "refresh_tokens",
    METADATA,
    Column("hash", Words, primary_key=True),
    Column("session_id", Words, nullable=False, index=True),
    Column("number", Integer, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("used_at_ms", BigInteger),
    Column("successor", Words),
)

FACTORS = Table(
    "factors",
    METADATA,
    Column("id", Words, primary_key=True),
    Column("user_id", Words, nullable=False, index=True),
    Column("kind", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("secret", Words, nullable=False),
    Column("last_step", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("confirmed_at_ms", BigInteger),
    Column("used_at_ms", BigInteger),
)

CEREMONIES = Table(
    "ceremonies",
    METADATA,
    Column("hash", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("user_id", Words, index=True),
    Column("content", Words, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("used_at_ms", BigInteger),
)
