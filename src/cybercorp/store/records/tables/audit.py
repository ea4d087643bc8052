"""The audit trail: a chain of records, and checkpoints over it that are signed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Table

from cybercorp.store.records.tables.columns import ID, METADATA, Words

AUDIT = Table(
    "audit",
    METADATA,
    Column("id", ID, primary_key=True, autoincrement=False),
    Column("time_ms", BigInteger, nullable=False, index=True),
    Column("operation", Words, nullable=False),
    Column("actor_kind", Words, nullable=False),
    Column("actor_id", Words, nullable=False, index=True),
    Column("actor", Words, nullable=False),
    Column("session_id", Words, nullable=False),
    Column("network", Words, nullable=False),
    Column("target_kind", Words, nullable=False),
    Column("target_id", Words, nullable=False),
    Column("target", Words, nullable=False),
    Column("decision", Words, nullable=False),
    Column("outcome", Words, nullable=False),
    Column("intent", BigInteger),
    Column("detail", Words, nullable=False),
    Column("previous", Words, nullable=False),
    Column("hash", Words, nullable=False),
)

AUDIT_CHECKPOINTS = Table(
    "audit_checkpoints",
    METADATA,
    Column("number", ID, primary_key=True, autoincrement=False),
    Column("time_ms", BigInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("head", Words, nullable=False),
    Column("previous", Words, nullable=False),
    Column("key_id", Words, nullable=False),
    Column("signature", Words, nullable=False),
)
