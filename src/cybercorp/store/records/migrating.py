"""Bring the record tables to the schema of this version, by Alembic, on a connection of ours."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from cybercorp.store.files import corrupt, newer

_SCRIPTS = Path(__file__).with_name("migrations")


def migrate(connection: Connection, path: Path, revision: str = "head") -> None:
    """Upgrade (or, with an older `revision`, downgrade) in the transaction of `connection`.

    Raises StorageNewerError (its revision is unknown here) and StorageCorruptError (the tables are not ours).
    """
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    known = [script.revision for script in scripts.walk_revisions()]
    head = scripts.get_current_head()
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None and set(inspect(connection).get_table_names()) - {"alembic_version"}:
        raise corrupt(path, "it is a database of another program")
    if found is not None and found not in known:
        raise newer(path, found, head)
    target = head if revision == "head" else revision
    if found == target:
        return
    if target == "base" or (found and target in known and known.index(target) > known.index(found)):
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)
