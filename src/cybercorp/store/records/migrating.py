"""Bring the record tables to the schema of this version, by Alembic, on a connection of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from cybercorp.core.errors import InvalidInputError, StorageCorruptError
from cybercorp.store.files import corrupt, newer
from cybercorp.store.postgres import Database

_SCRIPTS = Path(__file__).with_name("migrations")


class Step(NamedTuple):
    """One script: its revision, and what it says of itself."""

    revision: str
    title: str


class Standing(NamedTuple):
    """Where the tables are (None: there are none), and every revision from the oldest to the newest."""

    found: str | None
    known: Sequence[Step]


def standing(connection: Connection, where: Path | Database) -> Standing:
    """Raises StorageNewerError (its revision is unknown here) and StorageCorruptError (the tables are not ours)."""
    scripts = ScriptDirectory.from_config(_config(connection))
    known = [Step(one.revision, (one.doc or "").rstrip(".")) for one in scripts.walk_revisions()][::-1]
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None and set(inspect(connection).get_table_names()) - {"alembic_version"}:
        raise _foreign(where)
    if found is not None and found not in [step.revision for step in known]:
        newest = known[-1].revision
        raise where.newer(found, newest) if isinstance(where, Database) else newer(where, found, newest)
    return Standing(found, known)


def migrate(connection: Connection, where: Path | Database, revision: str = "head") -> None:
    """Upgrade (or, with an older `revision`, downgrade; "base" is no table) in the transaction of `connection`.

    Raises StorageNewerError, StorageCorruptError, and InvalidInputError for a revision that there is not.
    """
    at = standing(connection, where)
    order = ["base", *(step.revision for step in at.known)]
    target = order[-1] if revision == "head" else revision
    if target not in order:
        raise InvalidInputError(f"There is no revision '{target[:40]}'.", hint=f"There are: {', '.join(order)}.")
    found = at.found or "base"
    if order.index(target) < order.index(found):
        command.downgrade(_config(connection), target)
    elif target != found:
        command.upgrade(_config(connection), target)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _foreign(where: Path | Database) -> StorageCorruptError:
    if not isinstance(where, Database):
        return corrupt(where, "it is a database of another program")
    return StorageCorruptError(
        f"{where.shown} cannot be used: its tables in the schema {where.schema} are not ours.",
        hint="Name another database in database_url.",
    )
