"""The key that a backup opens with: it is never in the backup, so a restore must be given it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cybercorp.core.errors import AccessError
from cybercorp.core.settings import load_settings
from cybercorp.security.key_sources import KEY_FILE, KeyEncryptionKey, find_key
from cybercorp.server.settings import ServerSettings
from cybercorp.store.records.data_keys import DataKeyState


def restored_key(rows: Iterable[dict[str, Any]], folder: Path, named: Path | None) -> KeyEncryptionKey | None:
    """The key to write to the data folder, or None where none is needed there.

    `rows` are the backup's data keys. Raises AccessError (`key_missing`) and SettingsError.
    """
    wanted = {str(row["kek_id"]) for row in rows if row["state"] != DataKeyState.RETIRED}
    if not wanted:
        return None
    source = load_settings(ServerSettings, program="server").key_source
    found = None
    if named is not None:
        found = find_key(f"file:{named}", folder)
    elif source is not None or (folder / KEY_FILE).exists():
        found = find_key(source, folder)
    if found is None or wanted != {found.id}:
        held = f"; {found.source} holds {found.id}" if found else ""
        raise AccessError(
            f"This backup opens with the key {', '.join(sorted(wanted))}{held}.",
            hint=f"Name the file that holds it: --key-file {KEY_FILE} (it was in the data folder of that server).",
            code="key_missing",
        )
    return found if named is not None and source is None else None


def key_needed(folder: Path) -> str:
    """In words, which key the backups of this server open with, and where it is."""
    key = find_key(load_settings(ServerSettings, program="server").key_source, folder)
    return f"It opens only with the key {key.id}, which is not in it: keep a copy of {key.source} elsewhere."
