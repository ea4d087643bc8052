"""Alembic's entry: runs the scripts on the connection that it was handed. There is no ini file and no offline mode."""

from __future__ import annotations

from alembic import context

from cybercorp.store.records.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
