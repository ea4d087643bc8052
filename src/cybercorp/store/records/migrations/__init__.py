"""Alembic's scripts for `records.db`, run by `cybercorp.store.records.migrating`; they ship inside the package."""
