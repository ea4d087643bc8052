"""Bytes per sample on disk: recorded metrics of some hosts through the engine, sealed, merged and cleanly closed.

Everything is counted: chunk bodies, their index, catalogues, the log, free pages, what pages waste, and the write-ahead
log. `python -m benchmarks.storage_size` prints a table by part; `measure` returns the figure.
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.measure import Result, report
from cybercorp.bench import recording
from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.store.timeseries.encoding.chunks import SAMPLES, ChunkReader, read_from
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings

START_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
SETTLED_HOURS = 5  # after so long a stretch of four hours is over, and merged into one chunk
BAR = 0.45


class Sizes(NamedTuple):
    """Bytes by part, the samples they hold, and the CPU microseconds that sealing and merging took per row."""

    parts: dict[str, int]
    samples: int
    write_us: float
    seal_us: float

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    @property
    def per_sample(self) -> float:
        return self.total / self.samples


def recorded_values() -> np.ndarray:
    """float64 [seconds, series] as they were recorded, which is what the peers' sender sends."""
    with (files("cybercorp.bench") / "recording.npz").open("rb") as file, np.load(file) as data:
        return np.array(data["values"], dtype=np.float64)


def store_recording(folder: Path, hosts: int, seconds: int) -> Sizes:
    """Write `seconds` rows of each host in commits of a second, sealing every minute, then seal and merge the rest."""
    values, catalogue = recorded_values(), recording.catalogue()
    clock = ManualClock(START_MS)
    path = folder / "samples.db"
    store = TimeSeries.open(path, TimeSeriesSettings(), clock)
    rows, written, sealed = 0, 0.0, 0.0
    with contextlib.closing(store):
        for host in range(1, hosts + 1):
            store.register_catalogue(host, catalogue)
        for second in range(seconds):
            now = START_MS + second * 1000
            batch = [
                StoredRow(
                    host, "s", second + 1, now, now, RecordType.SAMPLES, catalogue.id,
                    values[(second + (host - 1) * recording.HOST_SHIFT) % len(values)].tobytes(),
                )
                for host in range(1, hosts + 1)
            ]  # fmt: skip
            began = time.process_time()
            store.write(batch)
            written += time.process_time() - began
            rows += hosts
            clock.advance(1)
            if second % 60 == 59:
                sealed += _cpu_of_sealing(store)
        clock.advance(1)
        began = time.process_time()
        store.seal(everything=True)
        sealed += time.process_time() - began
        for _ in range(SETTLED_HOURS):
            clock.advance(HOUR_MS / 1000)
            sealed += _cpu_of_sealing(store)
    return Sizes(
        sizes_of(path, len(catalogue.series)), rows * len(catalogue.series), written / rows * 1e6, sealed / rows * 1e6
    )


def sizes_of(path: Path, series: int) -> dict[str, int]:
    """The bytes of a closed store by part; they add up to its files."""
    parts: dict[str, int] = {}
    with contextlib.closing(sqlite3.connect(path)) as database:
        (page,) = database.execute("PRAGMA page_size").fetchone()
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        (free,) = database.execute("PRAGMA freelist_count").fetchone()
        headers = slices = others = 0
        found = database.execute("SELECT kind, host, catalogue, body FROM chunks JOIN chunk_bodies USING (id)")
        for kind, host, catalogue, body in found:
            if kind == SAMPLES:
                of_slices = ChunkReader(read_from(body), (host, catalogue), series + 1).slices_bytes
                slices += of_slices
                headers += len(body) - of_slices
            else:
                others += len(body)
        parts["samples: slices"] = slices
        parts["samples: headers, directories, constants"] = headers
        parts["rollups"] = others
        tables = dict(database.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
        bodies = tables.pop("chunk_bodies", 0)
        parts["pages of bodies: waste"] = bodies - slices - headers - others
        parts["index of chunks"] = tables.pop("chunks", 0)
        parts["log"] = tables.pop("log", 0)
        parts["catalogues"] = sum(tables.pop(name) for name in list(tables) if "catalogues" in name)
        parts["other tables"] = sum(tables.values())
        parts["free pages"] = free * page
        parts["page maps"] = (
            pages * page
            - bodies
            - free * page
            - sum(parts[name] for name in ("index of chunks", "log", "catalogues", "other tables"))
        )
    parts["write-ahead log"] = sum(
        one.stat().st_size for one in path.parent.iterdir() if one != path and one.name.startswith(path.name)
    )
    return parts


def measure(hosts: int = 8, seconds: int = 1800) -> list[Result]:
    """The figure for the tables of benchmarks."""
    with tempfile.TemporaryDirectory(prefix="cybercorp-bench-") as folder:
        sizes = store_recording(Path(folder), hosts, seconds)
    print(table(sizes), file=sys.stderr)
    return [Result(work="storage", figure="bytes per sample on disk", value=sizes.per_sample, unit="B", bar=BAR)]


def table(sizes: Sizes) -> str:
    lines = [f"{'part':42} {'bytes':>10} {'per sample':>10}"]
    lines += [f"{name:42} {size:10,} {size / sizes.samples:10.4f}" for name, size in sizes.parts.items()]
    lines.append(f"{'everything':42} {sizes.total:10,} {sizes.per_sample:10.4f}")
    lines.append(f"CPU per row: write {sizes.write_us:.1f} µs, seal and merge {sizes.seal_us:.1f} µs")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=1800)
    chosen = parser.parse_args()
    return report(measure(chosen.hosts, chosen.seconds))


def _cpu_of_sealing(store: TimeSeries) -> float:
    began = time.process_time()
    while store.seal().pending:
        continue
    return time.process_time() - began


if __name__ == "__main__":
    sys.exit(main())
