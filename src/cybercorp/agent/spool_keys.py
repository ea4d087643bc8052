"""The spool's own data key: made with the spool, wrapped by the agent's key, new whenever the spool starts empty.

Rows that no key opens any more (the agent's key was replaced) are reported as lost, like damaged ones.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cybercorp.core.errors import StorageCorruptError, StorageError
from cybercorp.protocol.agents import Record
from cybercorp.security.key_sources import KeyEncryptionKey, find_key
from cybercorp.security.vault import Vault, is_sealed, new_key, unwrap_key, wrap_key

SCHEMA = "create table if not exists keys (id integer primary key, wrapped text not null, kek_id text not null);"
SEALED_BYTES = 36
"""By so much an encrypted body is longer."""

_TABLE, _COLUMN = "spool", "body"


def spool_key(source: str | None, directory: Path) -> KeyEncryptionKey:
    """The agent's key, by default a file beside the spool, made where it is absent.

    Where the disk refuses it, a key for this run: the spool is in memory then. Raises SettingsError, AccessError.
    """
    try:
        return find_key(source, directory)
    except StorageError:
        return KeyEncryptionKey(new_key(), "memory")


class SpoolCipher:
    """Encrypts the bodies of one spool, each for its row."""

    def __init__(self, database: sqlite3.Connection, key: KeyEncryptionKey) -> None:
        """Read the spool's keys and make one where there is none to go on with. Raises sqlite3.Error."""
        known: dict[int, bytes] = {}
        highest = 0
        for number, wrapped, kek_id in database.execute("select id, wrapped, kek_id from keys order by id").fetchall():
            highest = number
            if kek_id == key.id:
                try:
                    known[number] = unwrap_key(wrapped, number, key.key)
                except StorageCorruptError:
                    continue  # its rows are told as lost when they are read
        empty = not database.execute("select exists (select 1 from records)").fetchone()[0]
        if empty or not known:
            highest += 1
            made = new_key()
            wrapped = wrap_key(made, highest, key.key)
            database.execute("begin immediate")
            if empty:
                database.execute("delete from keys")
            database.execute("insert into keys values (?, ?, ?)", (highest, wrapped, key.id))
            database.execute("commit")
            known[highest] = made
        self._vault = Vault(known, max(known))

    def seal(self, record: Record) -> bytes:
        """The body as it is stored."""
        return self._vault.seal_bytes(record.body, table=_TABLE, column=_COLUMN, row=_row(record))

    def open(self, record: Record) -> bytes | None:
        """The body of a record as it was stored, None where it does not open; from before there was a key, as it is."""
        if not is_sealed(record.body):
            return record.body
        try:
            return self._vault.open_bytes(record.body, table=_TABLE, column=_COLUMN, row=_row(record))
        except StorageCorruptError:
            return None

    def seal_catalogue(self, id: str, body: bytes) -> bytes:
        """A catalogue as it is stored."""
        return self._vault.seal_bytes(body, table=_TABLE, column="catalogue", row=id)

    def open_catalogue(self, id: str, body: bytes) -> bytes | None:
        """A catalogue, None where it does not open."""
        if not is_sealed(body):
            return body
        try:
            return self._vault.open_bytes(body, table=_TABLE, column="catalogue", row=id)
        except StorageCorruptError:
            return None


def _row(record: Record) -> str:
    return f"{record.seq}/{record.timestamp_ms}/{record.type}/{record.catalogue}"
