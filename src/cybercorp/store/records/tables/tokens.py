"""Tokens: the local owner's, and those that admit an agent."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table

from cybercorp.store.records.tables.columns import METADATA, Words

TOKENS = Table(
    "tokens",
    METADATA,
    Column("hash", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("labels", Words, nullable=False),
    Column("used_at_ms", BigInteger),
    Column("expires_at_ms", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
)
