"""Who may do what, where and how long: roles, bindings, elevations, tokens of programs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table

from cybercorp.store.records.tables.columns import METADATA, Words

ROLES = Table(
    "roles",
    METADATA,
    Column("name", Words, primary_key=True),
    Column("permissions", Words, nullable=False),
    Column("description", Words, nullable=False),
    Column("builtin", Integer, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
)

BINDINGS = Table(
    "bindings",
    METADATA,
    Column("id", Words, primary_key=True),
    Column("user_id", Words, nullable=False, index=True),
    Column("role", Words, nullable=False, index=True),
    Column("scope", Words, nullable=False),
    Column("effect", Words, nullable=False),
    Column("starts_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("created_by", Words, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("reason", Words, nullable=False),
)

ELEVATIONS = Table(
    "elevations",
    METADATA,
    Column("id", Words, primary_key=True),
    Column("user_id", Words, nullable=False, index=True),
    Column("role", Words, nullable=False),
    Column("scope", Words, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("reason", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("requested_at_ms", BigInteger, nullable=False),
    Column("decided_by", Words),
    Column("decided_at_ms", BigInteger),
    Column("binding_id", Words),
)

API_TOKENS = Table(
    "api_tokens",
    METADATA,
    Column("id", Words, primary_key=True),
    Column("hash", Words, nullable=False, unique=True),
    Column("user_id", Words, nullable=False, index=True),
    Column("name", Words, nullable=False),
    Column("permissions", Words),
    Column("scope", Words, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("used_at_ms", BigInteger),
    Column("revoked_at_ms", BigInteger),
)
