"""What `doctor` and `server check` look at where the server's data is in PostgreSQL."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psycopg

from cybercorp.cli.findings import Finding, Verdict
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import ConflictError, CyberCorpError
from cybercorp.store.postgres import Database
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.storage.postgres import PostgresStorage

_DURABLE = ("fsync", "full_page_writes")


def examine_database(url: str, read_url: str | None) -> Finding:
    """Whether it answers, what version it is, and whether it keeps what it acknowledges."""
    try:
        found, weak = _look(Database(url, "public"))
        if read_url:
            replica, _ = _look(Database(read_url, "public"))
            found = f"{found}; read from {replica}"
    except CyberCorpError as error:
        return Finding(check="database", verdict=Verdict.FAILING, found=error.message, hint=error.hint)
    if weak:
        hint = "A power cut would take what was acknowledged: turn it on in postgresql.conf."
        return Finding(check="database", verdict=Verdict.WARNING, found=f"{found}, {' and '.join(weak)} off", hint=hint)
    return Finding(check="database", verdict=Verdict.OK, found=found)


def check_database(url: str, folder: Path) -> list[str]:
    """Every checksum of every chunk, and that no body is missing; nothing while a server writes there."""
    try:
        storage = PostgresStorage(url)
        try:
            series = TimeSeries(storage, folder / "samples", TimeSeriesSettings(), SystemClock())
        except BaseException:
            storage.close()
            raise
        with contextlib.closing(series):
            return series.check()
    except ConflictError:
        return []
    except CyberCorpError as error:
        return [str(error)]


def _look(database: Database) -> tuple[str, list[str]]:
    with database.connect() as connection:
        try:
            row = connection.execute(
                "SELECT current_setting('server_version'), current_setting('max_connections')"
            ).fetchone()
            weak = [
                name
                for name in _DURABLE
                if connection.execute("SELECT current_setting(%s)", (name,)).fetchone() == ("off",)
            ]
        except psycopg.Error as error:
            raise database.error(error) from error
    version, most = row or ("?", "?")
    return f"{database.shown}: PostgreSQL {version}, {most} connections", weak
