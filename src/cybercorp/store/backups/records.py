"""The record tables for a backup: read through the declarations of the tables, so that both databases give the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select, text

from cybercorp.core.errors import StorageError
from cybercorp.store.backups.contents import NUMBERED, RECORD_TABLES, Row
from cybercorp.store.postgres import Database
from cybercorp.store.records.agents import ANY
from cybercorp.store.records.migrating import standing
from cybercorp.store.records.tables import METADATA

_ROWS = 1000


class RecordSnapshot:
    """The records as they are in the transaction of one connection."""

    def __init__(self, engine: Engine, connection: Connection, where: Path | Database) -> None:
        """Raises StorageError where the tables are missing or of another version."""
        self._engine = engine
        self._connection = connection
        at = standing(connection, where)
        if at.found is None or at.found != at.known[-1].revision:
            raise StorageError(
                f"The records have schema {at.found or 'none'}, and this version has {at.known[-1].revision}.",
                hint="Bring them to it first: cybercorp server migrate",
            )
        self.revision = at.found

    def counts(self) -> dict[str, int]:
        """Rows by table."""
        return {
            name: self._connection.execute(select(func.count()).select_from(METADATA.tables[name])).scalar_one()
            for name in RECORD_TABLES
        }

    def numbers(self) -> dict[str, int]:
        """The last number each table gave out."""
        if self._connection.dialect.name == "sqlite":
            found = {
                name: int(seq) for name, seq in self._connection.execute(text("SELECT name, seq FROM sqlite_sequence"))
            }
            return {table: found.get(table, 0) for table in NUMBERED}
        return {table: self._last(table, column) for table, column in NUMBERED.items()}

    def rows(self, table: str) -> Iterator[Row]:
        """Every row of a table."""
        chosen = METADATA.tables[table]
        ordered = select(chosen).order_by(*chosen.primary_key.columns)
        for row in self._connection.execution_options(yield_per=_ROWS).execute(ordered).mappings():
            yield dict(row)

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()

    def _last(self, table: str, column: str) -> int:
        asked = text(f"SELECT last_value, is_called FROM {table}_{column}_seq")  # noqa: S608 - names of ours
        value, called = self._connection.execute(asked).one()
        return int(value) if called else 0


def as_restored(table: str, rows: list[Row]) -> list[Row]:
    """What a backup's rows are worth later: agents went on without it, and tokens to join may be used up by now."""
    if table == "agents":
        return [{**row, "generation": ANY.number, "mark": ANY.mark} for row in rows]
    if table == "tokens":
        return [row for row in rows if row["expires_at_ms"] is None]
    return rows


def put_records(connection: Connection, table: str, rows: list[Row]) -> None:
    """Add rows as they are."""
    if rows:
        connection.execute(METADATA.tables[table].insert(), rows)


def put_numbers(connection: Connection, numbers: dict[str, int]) -> None:
    """Go on numbering where the source stopped."""
    for table, number in numbers.items():
        if table not in NUMBERED or number < 1:
            continue
        if connection.dialect.name == "sqlite":
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), {"table": table})
            values = {"table": table, "number": number}
            connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :number)"), values)
        else:
            sequence = f"{table}_{NUMBERED[table]}_seq"
            connection.execute(text("SELECT setval(:name, :number)"), {"name": sequence, "number": number})
