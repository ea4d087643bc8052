"""Check the database files of a data folder, whether their server runs or not."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import ConflictError, CyberCorpError

SAMPLES_FILE, RECORDS_FILE = "samples.db", "records.db"
_MOST_LINES = 20


def check_databases(data_dir: Path) -> list[str]:
    """Every checksum of every chunk, and what SQLite finds; one sentence for each problem.

    While a server runs, it alone may open the samples for writing: then SQLite's own check has to do.
    """
    problems = quick_check(data_dir)
    samples = data_dir / SAMPLES_FILE
    if problems or not samples.exists():
        return problems
    # Imported here: numpy and the engine take 150 ms, which the quick check does not need.
    from cybercorp.store.timeseries.engine import TimeSeries
    from cybercorp.store.timeseries.settings import TimeSeriesSettings

    try:
        with contextlib.closing(TimeSeries.open(samples, TimeSeriesSettings(), SystemClock())) as series:
            return series.check()
    except ConflictError:
        return []
    except CyberCorpError as error:
        return [str(error)]


def quick_check(data_dir: Path) -> list[str]:
    """What SQLite finds wrong with the files, read-only; nothing where there are none."""
    problems: list[str] = []
    for name in (RECORDS_FILE, SAMPLES_FILE):
        path = data_dir / name
        if path.exists():
            problems += [f"{name}: {problem}" for problem in _sqlite_check(path)]
    return problems


def _sqlite_check(path: Path) -> list[str]:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as found:
            rows = found.execute(f"PRAGMA quick_check({_MOST_LINES})").fetchall()
    except sqlite3.Error as error:
        return [str(error)]
    return [str(text) for (text,) in rows if text != "ok"]
