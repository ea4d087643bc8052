"""PostgreSQL at size: opening with a million chunks and with a long log, and a backup there and back.

`python -m benchmarks.postgres_scale`; about a minute. The fleet of the index is invented, its bodies are not needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.measure import Result, report
from benchmarks.postgres import SETTINGS
from benchmarks.storage_size import START_MS, recorded_values
from cybercorp.bench import recording
from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.store.backups.archive import Archive, write_archive
from cybercorp.store.backups.sources import PostgresSource
from cybercorp.store.backups.targets import restore_to_database, restore_to_folder
from cybercorp.store.records.database import Records
from cybercorp.store.timeseries.encoding.chunks import PROCESSES
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.storage.contract import ChunkEntry
from cybercorp.store.timeseries.storage.postgres import PostgresStorage
from tests.postgres import new_database, postgres_server

CHUNKS, CHUNK_BYTES = 2000, 200_000
INDEXED = 1_000_000
HOSTS, SECONDS = 1000, 900
_INDEX = """
    INSERT INTO chunks SELECT n, n %% 10000 + 1, 1, 1, n / 10000, n / 10000, n / 10000,
        1800000000000 + (n / 10000) * 14400000::bigint, 1800000000000 + (n / 10000 + 1) * 14400000::bigint - 1,
        14400, 500000, 1800000000000, 1, 1800000000000
    FROM generate_series(1, %s) n
"""


def open_with_many_chunks(url: str) -> list[Result]:
    """What the index of a large fleet costs at the start, and in memory."""
    with contextlib.closing(PostgresStorage(url)) as storage:
        with storage.database.connect() as connection:
            connection.execute(_INDEX, (INDEXED,))
        before, began = psutil.Process().memory_info().rss, time.perf_counter()
        loaded = storage.load()
        took = time.perf_counter() - began
        grown = psutil.Process().memory_info().rss - before
    work = f"index of {len(loaded.chunks):,} chunks"
    return [
        Result(work=work, figure="read at the start", value=took, unit="s"),
        Result(work=work, figure="memory", value=grown / 1e6, unit="MB"),
    ]


def open_with_a_long_log(url: str, folder: Path) -> list[Result]:
    """Rows of many hosts that were never sealed, as a crash leaves them."""
    clock, catalogue = ManualClock(START_MS), recording.catalogue()
    bodies = [row.tobytes() for row in recorded_values()]
    store = TimeSeries(PostgresStorage(url), folder / "samples", TimeSeriesSettings(head_max_bytes=1 << 40), clock)
    with contextlib.closing(store):
        for host in range(1, HOSTS + 1):
            store.register_catalogue(host, catalogue)
        for second in range(SECONDS):
            now = clock.now_ms()
            store.write(
                [
                    StoredRow(
                        host, "s", second + 1, now, now, RecordType.SAMPLES, catalogue.id,
                        bodies[(second + host * recording.HOST_SHIFT) % len(bodies)],
                    )
                    for host in range(1, HOSTS + 1)
                ]
            )  # fmt: skip
            clock.advance(1)
    began = time.perf_counter()
    again = TimeSeries(PostgresStorage(url), folder / "samples", TimeSeriesSettings(), clock)
    took = time.perf_counter() - began
    again.close()
    return [Result(work=f"{HOSTS * SECONDS:,} rows not sealed", figure="open", value=took, unit="s")]


def back_up_and_restore(url: str, empty_url: str, folder: Path) -> list[Result]:
    """Chunks of noise: the check afterwards finds no chunk in them, and takes as long as with sound ones to read."""
    asyncio.run(_make_records(url))
    body = random.Random(1).randbytes(CHUNK_BYTES)
    with contextlib.closing(PostgresStorage(url)) as storage:
        for first in range(1, CHUNKS + 1, 40):
            chunks = [(_entry(number), body) for number in range(first, first + 40)]
            storage.add_chunks(chunks, [], settled=True)
    path, size_mb, took = folder / "all.zip", CHUNKS * CHUNK_BYTES / 1e6, {}
    began = time.perf_counter()
    with contextlib.closing(PostgresSource(url)) as source:
        write_archive(path, source, "benchmark", START_MS, _quiet)
    took["save and read again"] = time.perf_counter() - began
    with Archive(path) as archive:
        for name in ("verify", "restore to SQLite and check", "restore to PostgreSQL and check"):
            began = time.perf_counter()
            if name == "verify":
                archive.verify(_quiet)
            elif "SQLite" in name:
                restore_to_folder(archive, folder / "new", "records.db", "samples.db", _quiet)
            else:
                restore_to_database(archive, empty_url, folder, _quiet)
            took[name] = time.perf_counter() - began
    work = f"backup of {size_mb:.0f} MB"
    return [Result(work=work, figure=name, value=size_mb / seconds, unit="MB/s") for name, seconds in took.items()]


async def _make_records(url: str) -> None:
    await (await Records.connect(url)).close()


def _entry(number: int) -> ChunkEntry:
    start = START_MS + number // 100 * 14_400_000
    return ChunkEntry(
        number, number % 100 + 1, PROCESSES, 0, 0, number, number, start, start + 14_399_000, 10, CHUNK_BYTES, start
    )


def _quiet(done: int, expected: int) -> None:
    pass


def measure() -> list[Result]:
    """All of it on one server, a database each."""
    with postgres_server(*SETTINGS) as server, tempfile.TemporaryDirectory() as name:
        urls = [new_database(server.url) for _ in range(4)]
        folder = Path(name)
        return [
            *open_with_many_chunks(urls[0]),
            *open_with_a_long_log(urls[1], folder),
            *back_up_and_restore(urls[2], urls[3], folder),
        ]


if __name__ == "__main__":
    sys.exit(report(measure()))
