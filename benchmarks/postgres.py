"""The time-series store on PostgreSQL beside the one on SQLite: CPU per row of both sides, bytes per sample, queries.

The recorded metrics, in commits of a second, sealed every minute, then sealed and merged; PostgreSQL 18 or what is
installed, on loopback, with fsync as it ships. CPU of PostgreSQL is that of all its processes.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import psycopg

from benchmarks.measure import Result, report
from benchmarks.storage_size import HOUR_MS, START_MS, recorded_values
from cybercorp.bench import recording
from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.metrics import Aggregation, MetricSelector
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import Selection, StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.storage.postgres import PostgresStorage
from tests.postgres import PostgresServer, postgres_server

SETTINGS = ("shared_buffers = '256MB'", "max_wal_size = '4GB'")
QUERIES = 30


class Cost(NamedTuple):
    """CPU microseconds a row, here and in the database, of writing and of sealing; bytes a sample; a query's ms."""

    write_us: float
    write_there_us: float
    seal_us: float
    seal_there_us: float
    bytes_per_sample: float
    query_ms: float


class Meter:
    """CPU seconds of this process, and of the server's with those of its children that have ended."""

    def __init__(self, server: PostgresServer | None) -> None:
        self._server = psutil.Process(server.pid) if server else None
        self._known: dict[int, float] = {}

    def _there(self) -> float:
        if self._server is not None:
            for process in [self._server, *self._server.children()]:
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    self._known[process.pid] = times.user + times.system
        return sum(self._known.values())

    def spent(self, work: Callable[[], object]) -> np.ndarray:
        """CPU seconds here and there."""
        before, began = self._there(), time.process_time()
        work()
        here = time.process_time() - began
        return np.array([here, self._there() - before])


def measure_store(store: TimeSeries, clock: ManualClock, meter: Meter, hosts: int, seconds: int, every: int) -> Cost:
    """Write a second of each host, `every` seconds in one commit; seal, merge and ask."""
    values, catalogue = recorded_values(), recording.catalogue()
    for host in range(1, hosts + 1):
        store.register_catalogue(host, catalogue)
    write, seal = np.zeros(2), np.zeros(2)
    for first in range(0, seconds, every):
        batch = [
            StoredRow(
                host, "s", second + 1, START_MS + second * 1000, START_MS + second * 1000, RecordType.SAMPLES,
                catalogue.id, values[(second + (host - 1) * recording.HOST_SHIFT) % len(values)].tobytes(),
            )
            for second in range(first, first + every)
            for host in range(1, hosts + 1)
        ]  # fmt: skip
        write += meter.spent(lambda batch=batch: store.write(batch))  # type: ignore[misc]
        clock.advance(every)
        if (first + every) % 60 == 0:
            seal += meter.spent(lambda: store.seal(everything=True))
    for _ in range(12):
        seal += meter.spent(lambda: store.seal(everything=True))
        clock.advance(HOUR_MS / 1000)
    selection = [Selection(1, MetricSelector(name="system.cpu.utilization"))]
    times = []
    for _ in range(QUERIES):
        began = time.perf_counter()
        store.query(selection, START_MS, START_MS + seconds * 1000, 10_000, Aggregation.AVG)
        times.append(time.perf_counter() - began)
    write_us, write_there_us = (write / (hosts * seconds) * 1e6).tolist()
    seal_us, seal_there_us = (seal / (hosts * seconds) * 1e6).tolist()
    stats = store.stats()
    used = stats.file_bytes - stats.unused_bytes
    samples = hosts * seconds * len(catalogue.series)
    return Cost(write_us, write_there_us, seal_us, seal_there_us, used / samples, sorted(times)[QUERIES // 2] * 1000)


@contextlib.contextmanager
def on_sqlite() -> Iterator[tuple[TimeSeries, ManualClock, Meter]]:
    clock = ManualClock(START_MS)
    with tempfile.TemporaryDirectory() as folder:
        store = TimeSeries.open(Path(folder) / "samples.db", TimeSeriesSettings(), clock)
        with contextlib.closing(store):
            yield store, clock, Meter(None)


@contextlib.contextmanager
def on_postgres() -> Iterator[tuple[TimeSeries, ManualClock, Meter]]:
    clock = ManualClock(START_MS)
    with postgres_server(*SETTINGS) as server, tempfile.TemporaryDirectory() as folder:
        with psycopg.connect(server.url) as connection:
            start = (connection.execute("SELECT pg_current_wal_lsn()::text").fetchone() or ("0/0",))[0]
        store = TimeSeries(PostgresStorage(server.url), Path(folder) / "samples", TimeSeriesSettings(), clock)
        with contextlib.closing(store):
            yield store, clock, Meter(server)
        with psycopg.connect(server.url) as connection:
            wal = connection.execute(_WAL, (start,)).fetchone()
            sys.stderr.write(f"{int(wal[0]) if wal else 0:>12,}  write-ahead log written\n")
            for name, size in connection.execute(_PARTS).fetchall():
                sys.stderr.write(f"{size:>12,}  {name}\n")


_WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s::pg_lsn)"
_PARTS = """
    SELECT regexp_replace(relname, '_-?\\d+$', ''), sum(pg_total_relation_size(oid))::bigint FROM pg_class
    WHERE relnamespace = 'cybercorp_samples'::regnamespace AND relkind = 'r' GROUP BY 1 ORDER BY 2 DESC
"""


def measure() -> list[Result]:
    """Many hosts for a minute, and eight hosts for five hours (commits of 30 s, as from spools)."""
    results = []
    for hosts, seconds, every in ((1000, 60, 1), (8, 5 * 3600, 30)):
        for name, opened in (("SQLite", on_sqlite), ("PostgreSQL", on_postgres)):
            with opened() as (store, clock, meter):
                cost = measure_store(store, clock, meter, hosts, seconds, every)
            work = f"{name}, {hosts} hosts × {seconds} s"
            figures = {
                "write, CPU here": (cost.write_us, "µs/row"),
                "write, CPU of the database": (cost.write_there_us, "µs/row"),
                "seal and merge, CPU here": (cost.seal_us, "µs/row"),
                "seal and merge, CPU of the database": (cost.seal_there_us, "µs/row"),
                "disk": (cost.bytes_per_sample, "bytes/sample"),
                "one series over all, p50": (cost.query_ms, "ms"),
            }
            results += [
                Result(work=work, figure=figure, value=value, unit=unit) for figure, (value, unit) in figures.items()
            ]
    return results


if __name__ == "__main__":
    sys.exit(report(measure()))
