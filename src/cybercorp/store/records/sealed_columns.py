"""Every column of the records that holds something sealed, and its sealing anew after a rotation of the data key."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select, update

from cybercorp.core.errors import StorageCorruptError
from cybercorp.security.vault import Vault, key_number
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.tables import METADATA

SEALED_COLUMNS: Final = (
    ("signing_keys", "private_key"),
    ("factors", "secret"),
    ("ceremonies", "content"),
    ("refresh_tokens", "successor"),
    ("certificates", "private_key"),
)
"""Table and column. Each is sealed for the primary key of its row."""

_ROWS = 500


class SealedColumns:
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def reseal(self, vault: Vault) -> int:
        """Seal with the current key what another one opens; returns how many values there were.

        What does not open is left as it is: whoever needs it says so. A value that changes meanwhile keeps its change.
        """
        return sum([await self._reseal(table, column, vault) for table, column in SEALED_COLUMNS])

    async def _reseal(self, name: str, column: str, vault: Vault) -> int:
        table = METADATA.tables[name]
        (place,) = table.primary_key.columns
        value = table.c[column]
        sealed = select(place, value).where(value.like("sealed1.%")).order_by(place).limit(_ROWS)
        after: str | None = None
        made = 0
        while True:
            async with self._connections.reading() as connection:
                asked = sealed if after is None else sealed.where(place > after)
                found = (await connection.execute(asked)).all()
            if not found:
                return made
            after = str(found[-1][0])
            fresh = [(row, old, new) for row, old in found if (new := _resealed(vault, name, column, row, old))]
            if not fresh:
                continue
            async with self._connections.writing() as connection:
                for row, old, new in fresh:
                    change = update(table).where(place == row, value == old)
                    made += (await connection.execute(change.values({column: new}))).rowcount


def _resealed(vault: Vault, table: str, column: str, row: str, sealed: str) -> str | None:
    """The same with the current key; None where it is that already, or does not open."""
    try:
        if key_number(sealed) == vault.current:
            return None
        plain = vault.open(sealed, table=table, column=column, row=row)
    except StorageCorruptError:
        return None
    return vault.seal(plain, table=table, column=column, row=row)
