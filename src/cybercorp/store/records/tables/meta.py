"""What is known of the tables themselves."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table

from cybercorp.store.records.tables.columns import METADATA, Words

META = Table(
    "meta",
    METADATA,
    Column("epoch", Words, nullable=False),
    Column("schema", Integer, nullable=False),
)
