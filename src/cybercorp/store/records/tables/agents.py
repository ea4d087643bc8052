"""Agents: the key that each made on its host, and how often it was handed on."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table

from cybercorp.store.records.tables.columns import METADATA, Words

AGENTS = Table(
    "agents",
    METADATA,
    Column("host_id", Words, primary_key=True),
    Column("public_key", Words, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("mark", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("enrolled_at_ms", BigInteger, nullable=False),
    Column("network", Words, nullable=False),
    Column("decided_by", Words),
    Column("decided_at_ms", BigInteger),
    Column("reason", Words),
)
