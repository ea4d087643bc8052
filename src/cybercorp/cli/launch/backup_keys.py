"""The key that a backup opens with: in it only locked with a passphrase, else a restore must be given it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cybercorp.core.errors import AccessError, InvalidInputError
from cybercorp.core.settings import load_settings
from cybercorp.security.key_sources import KEY_FILE, KeyEncryptionKey, find_key
from cybercorp.security.passphrases import LockedKey, lock_key, read_passphrase, unlock_key
from cybercorp.server.settings import ServerSettings
from cybercorp.store.records.data_keys import DataKeyState


def restored_key(
    rows: Iterable[dict[str, Any]], folder: Path, named: Path | None, unlocked: KeyEncryptionKey | None = None
) -> KeyEncryptionKey | None:
    """The key to write to the data folder, or None where none is needed there.

    `rows` are the backup's data keys. Raises AccessError (`key_missing`) and SettingsError.
    """
    wanted = {str(row["kek_id"]) for row in rows if row["state"] != DataKeyState.RETIRED}
    if not wanted:
        return None
    source = load_settings(ServerSettings, program="server").key_source
    found = unlocked
    if named is not None:
        found = find_key(f"file:{named}", folder)
    elif unlocked is None and (source is not None or (folder / KEY_FILE).exists()):
        found = find_key(source, folder)
    if found is None or wanted != {found.id}:
        held = f"; {found.source} holds {found.id}" if found else ""
        raise AccessError(
            f"This backup opens with the key {', '.join(sorted(wanted))}{held}.",
            hint=f"Name the file that holds it: --key-file {KEY_FILE} (it was in the data folder of that server);"
            " or --passphrase-file, where the backup was made with one.",
            code="key_missing",
        )
    return found if (named is not None or unlocked is not None) and source is None else None


def locked_key(folder: Path, passphrase: Path) -> LockedKey:
    """The key of this server, locked with the passphrase in a file. Raises InvalidInputError, SettingsError."""
    key = find_key(load_settings(ServerSettings, program="server").key_source, folder, may_make=False)
    return lock_key(key, read_passphrase(passphrase))


def unlocked_key(locked: LockedKey | None, passphrase: Path) -> KeyEncryptionKey:
    """Raises InvalidInputError where the backup was made without one, AccessError (`passphrase_wrong`)."""
    if locked is None:
        raise InvalidInputError(
            "This backup was made without a passphrase.", hint="Name the file that holds its key: --key-file."
        )
    return unlock_key(locked, read_passphrase(passphrase))


def key_needed(folder: Path, *, passphrase: bool = False) -> str:
    """In words, which key the backups of this server open with, and where it is."""
    key = find_key(load_settings(ServerSettings, program="server").key_source, folder, may_make=False)
    if passphrase:
        return f"It opens with its passphrase, or with the key {key.id} of {key.source}."
    return f"It opens only with the key {key.id}, which is not in it: keep a copy of {key.source} elsewhere."
