"""Keys: what encrypts the records, what signs, and the certificates of our own authority."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, text

from cybercorp.store.records.tables.columns import METADATA, Words

DATA_KEYS = Table(
    "data_keys",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("wrapped", Words, nullable=False),
    Column("kek_id", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("retired_at_ms", BigInteger),
)

SIGNING_KEYS = Table(
    "signing_keys",
    METADATA,
    Column("id", Words, primary_key=True),
    Column("purpose", Words, nullable=False, index=True),
    Column("public_key", Words, nullable=False),
    Column("private_key", Words, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("retires_at_ms", BigInteger),
    Column("retired_at_ms", BigInteger),
)

CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("id", Words, primary_key=True),
    Column("kind", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("certificate", Words, nullable=False),
    Column("private_key", Words, nullable=False),
    Column("pin", Words, nullable=False, index=True),
    Column("not_before_ms", BigInteger, nullable=False),
    Column("not_after_ms", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    # One authority signs, one waits, one certificate is shown: also when two instances make them at the same moment.
    Index(
        "ix_certificates_standing",
        "kind",
        "state",
        unique=True,
        sqlite_where=text("state != 'retired'"),
        postgresql_where=text("state != 'retired'"),
    ),
)
