"""The record tables of this server's settings, opened: a file in the data folder, or a database."""

from __future__ import annotations

import contextlib
from pathlib import Path

from cybercorp.core.errors import ConflictError, CyberCorpError
from cybercorp.security.credentials import OWNER_FILE, read_credential
from cybercorp.server.settings import ServerSettings
from cybercorp.store.records.database import Records

RECORDS_FILE = "records.db"


async def open_records(settings: ServerSettings, folder: Path) -> Records:
    """Raises ConflictError (`storage_in_use`) naming the server that has them, and StorageErrors."""
    if settings.database_url:
        return await Records.connect(settings.database_url)
    try:
        return await Records.open(folder / RECORDS_FILE)
    except ConflictError as error:
        owner = None
        with contextlib.suppress(CyberCorpError):  # readable by others, or damaged
            owner = read_credential(folder / OWNER_FILE)
        if error.error_code != "storage_in_use" or owner is None:
            raise
        raise ConflictError(
            f"A CyberCorp server is running on {folder} already, at {owner.url}.",
            hint=error.hint,
            code="storage_in_use",
        ) from error
