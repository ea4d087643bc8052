"""Stores on PostgreSQL for tests: a schema of its own for each folder, found again by the folder's name."""

from __future__ import annotations

from pathlib import Path

from cybercorp.core.clock import Clock
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.storage.postgres import PostgresStorage


def open_postgres(
    url: str, folder: Path, clock: Clock, settings: TimeSeriesSettings | None = None, read_url: str = ""
) -> TimeSeries:
    """Open or create."""
    storage = PostgresStorage(url, read_url, schema=schema_of(folder))
    try:
        return TimeSeries(storage, folder / "samples", settings or TimeSeriesSettings(), clock)
    except BaseException:
        storage.close()
        raise


def schema_of(folder: Path) -> str:
    return f"s_{abs(hash(folder)):x}"
