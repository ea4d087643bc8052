"""The first tables: hosts, tokens, events, meta."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cybercorp.core.ids import new_id

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "hosts",
        sa.Column("key", _ID, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("joined_at_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger),
        sa.Column("interval_ms", sa.BigInteger, nullable=False),
        sa.Column("removed_at_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("key", name="pk_hosts"),
        sa.UniqueConstraint("id", name="uq_hosts"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_hosts_name",
        "hosts",
        ["name"],
        unique=True,
        sqlite_where=sa.text("removed_at_ms IS NULL"),
        postgresql_where=sa.text("removed_at_ms IS NULL"),
    )
    op.create_table(
        "tokens",
        sa.Column("hash", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("used_at_ms", sa.BigInteger),
        sa.Column("expires_at_ms", sa.BigInteger),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_tokens"),
    )
    op.create_table(
        "events",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("host_id", sa.Text),
        sa.Column("host", sa.Text),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_time_ms", "events", ["time_ms"])
    op.create_index("ix_events_host_id", "events", ["host_id"])
    meta = op.create_table(
        "meta",
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("schema", sa.Integer, nullable=False),
    )
    op.bulk_insert(meta, [{"epoch": new_id("epoch"), "schema": 1}])


def downgrade() -> None:
    for table in ("meta", "events", "tokens", "hosts"):
        op.drop_table(table)
