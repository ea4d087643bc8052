"""The check of `cybercorp doctor` that the server's key is there, is the right one, and is nobody else's."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from cybercorp.cli.findings import Finding, Verdict
from cybercorp.cli.launch.databases import RECORDS_FILE
from cybercorp.core.errors import CyberCorpError
from cybercorp.core.settings import load_settings
from cybercorp.security.key_sources import find_key
from cybercorp.server.settings import ServerSettings


def examine_key(data_dir: Path) -> Finding:
    """Asks for the key where the server does; a command is run for that."""
    try:
        settings = load_settings(ServerSettings, program="server")
        wanted = set() if settings.database_url else _wanted(data_dir / RECORDS_FILE)
        if not wanted and settings.key_source is None:
            found = f"no server has encrypted anything in {data_dir} yet"
            return Finding(check="key", verdict=Verdict.OK, found=found)
        key = find_key(settings.key_source, data_dir, may_make=False)
    except CyberCorpError as error:
        return Finding(check="key", verdict=Verdict.FAILING, found=error.message, hint=error.hint)
    if wanted - {key.id}:
        return Finding(
            check="key",
            verdict=Verdict.FAILING,
            found=f"{key.source} holds the key {key.id}; the records were encrypted under {', '.join(sorted(wanted))}",
            hint="Put the right one back, or name its place in key_source; see docs/encryption.md.",
        )
    found = f"{key.id} in {key.source}; backups open with it: keep a copy elsewhere"
    return Finding(check="key", verdict=Verdict.OK, found=found)


def _wanted(records: Path) -> set[str]:
    """Which keys the data keys of a SQLite file are wrapped with; none where that cannot be read."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"{records.absolute().as_uri()}?mode=ro", uri=True)) as database,
    ):
        rows = database.execute("SELECT DISTINCT kek_id FROM data_keys WHERE state != 'retired'").fetchall()
        return {str(name) for (name,) in rows}
    return set()
