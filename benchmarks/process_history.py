"""What a day of process history takes on disk, and how fast a past table is found.

    python -m benchmarks.process_history [HOURS]

Three invented hosts, each with the process table that an agent records every ten seconds at its defaults (the 20 with
most CPU and the 20 with most memory): a quiet one (40 daemons, almost nothing happens), an ordinary one (90 daemons, 12
services that work, a short-lived process every ten seconds), and a busy one (a build machine: 25 short-lived processes
every ten seconds with long command lines). Memory, CPU time and I/O wander and grow as they do on real hosts; nothing
repeats. The tables go through the engine: written, sealed, merged. A day is `bytes / HOURS × 24`, by default of 6.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.measure import Result, report
from cybercorp.core.clock import ManualClock
from cybercorp.monitors.processes import COLUMNS, select_rows
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.processes import ProcessTable
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings

START_MS = 1_800_000_000_000
STEP_MS = 10_000
TOP = 20
LOOKS = 60
SEED = 20261123


class Kind(NamedTuple):
    """A kind of host: daemons that idle, services that work, and processes that are born each ten seconds."""

    name: str
    idle: int
    working: int
    born: int
    bar_mb: float | None


KINDS = (Kind("quiet", 38, 2, 0, 1.0), Kind("ordinary", 90, 12, 1, 1.0), Kind("busy", 120, 24, 25, None))


class Process:
    """One invented process."""

    def __init__(self, pid: int, parent: int, name: str, command: str, share: float, chance: random.Random) -> None:
        self.pid, self.parent, self.name, self.command, self.share = pid, parent, name, command, share
        self.started_at_ms = START_MS - chance.randrange(1 << 30)
        self.user = chance.choice(["root", "app", "postgres", "www-data"])
        self.rss = 4096 * chance.randrange(300, 60_000)
        self.cpu_time_s = round(chance.expovariate(1 / 600), 2)
        self.read, self.written = chance.randrange(1 << 26), chance.randrange(1 << 28)
        self.threads = chance.choice([1, 1, 1, 4, 9, 33])

    def row(self, chance: random.Random) -> tuple[object, ...]:
        """Ten seconds later."""
        busy = chance.random() < 0.02 + self.share
        ticks = round(chance.expovariate(1 / (1000 * self.share))) if busy and self.share else int(busy)
        self.cpu_time_s = round(self.cpu_time_s + ticks / 100, 2)
        written = chance.randrange(60) * 4096 if busy and chance.random() < 0.5 else 0
        self.written += written
        if busy and chance.random() < 0.6:
            self.rss = max(4096 * 100, self.rss + 4096 * chance.randrange(-40, 42))
        elapsed_s = 10 + chance.uniform(-0.002, 0.002)
        return (
            self.pid,
            self.parent,
            self.name,
            self.command,
            self.user,
            "R" if ticks > 200 else "S",
            round(ticks / 100 / elapsed_s, 4),
            self.cpu_time_s,
            self.rss,
            self.threads,
            self.read,
            self.written,
            0.0,
            float(round(written / elapsed_s)),
            self.started_at_ms,
        )


def tables(kind: Kind, count: int) -> Iterator[ProcessTable]:
    """What an agent on such a host records."""
    chance, pid = random.Random(f"{SEED} {kind.name}"), 300
    lasting = []
    for number in range(kind.idle + kind.working):
        pid += chance.randrange(1, 40)
        works = number >= kind.idle
        name = f"{'service' if works else 'daemon'}-{number}"
        command = f"/usr/lib/{name}/{name} --config /etc/{name}/main.conf --log-level info"
        lasting.append(Process(pid, 1, name, command, chance.uniform(0.02, 0.6) if works else 0.0, chance))
    for step in range(count):
        now_ms = START_MS + step * STEP_MS
        fleeting = []
        for number in range(kind.born):
            pid += chance.randrange(1, 9)
            command = (
                f"cc1plus -quiet -I include -O2 -o /tmp/cc{chance.getrandbits(40):x}.s src/part{step % 997}/{number}.cc"
            )
            one = Process(pid, 300, "cc1plus", command, chance.uniform(0.1, 1.0), chance)
            one.started_at_ms = now_ms - chance.randrange(10_000)
            fleeting.append(one)
        rows = sorted(one.row(chance) for one in (*lasting, *fleeting))
        columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
        whole = msgspec.convert({"timestamp_ms": now_ms, "total": len(rows), **columns}, ProcessTable)
        yield top(whole)


def top(table: ProcessTable) -> ProcessTable:
    """The 20 with most CPU and the 20 with most memory, as `ProcessScanner.top`."""
    everyone = range(len(table.pid))
    by_cpu = sorted(everyone, key=lambda row: (table.cpu[row] or 0.0, table.cpu_time_s[row]), reverse=True)[:TOP]
    by_memory = sorted(everyone, key=table.rss_bytes.__getitem__, reverse=True)[:TOP]
    return select_rows(table, sorted({*by_cpu, *by_memory}))


def record(store: TimeSeries, clock: ManualClock, kind: Kind, host: int, count: int) -> int:
    """Write, seal, merge; returns the bytes that the agent sent."""
    sent = 0
    for number, table in enumerate(tables(kind, count), start=1):
        body = msgspec.msgpack.encode(table)
        sent += len(body)
        store.write(
            [StoredRow(host, "s", number, table.timestamp_ms, table.timestamp_ms, RecordType.PROCESSES, "", body)]
        )
        clock.advance(STEP_MS / 1000)
        if number % 6 == 0:
            store.seal()
    clock.advance(86_400)
    store.seal(everything=True)
    while store.seal().merged:
        pass
    return sent


def measure(hours: int = 6) -> list[Result]:
    """One store for each kind of host."""
    results = []
    for kind in KINDS:
        with tempfile.TemporaryDirectory(prefix="cybercorp-processes-") as folder:
            clock, count = ManualClock(START_MS), hours * 360
            store = TimeSeries.open(Path(folder) / "samples.db", TimeSeriesSettings(), clock)
            try:
                began = time.process_time()
                sent = record(store, clock, kind, 1, count)
                spent_s = time.process_time() - began
                stats = store.stats()
                chance = random.Random(SEED)
                looks = []
                for _ in range(LOOKS):
                    at_ms = START_MS + chance.randrange(count) * STEP_MS
                    started = time.perf_counter()
                    assert store.processes_at(1, at_ms, 60_000) is not None
                    looks.append(1000 * (time.perf_counter() - started))
            finally:
                store.close()
        work = f"process history, a {kind.name} host"
        results += [
            Result(
                work=work,
                figure="a day on disk",
                value=stats.chunk_bytes / hours * 24 / 1e6,
                unit="MB",
                bar=kind.bar_mb,
            ),
            Result(work=work, figure="of what the agent sent", value=100 * stats.chunk_bytes / sent, unit="%"),
            Result(work=work, figure="a past table found (median)", value=statistics.median(looks), unit="ms", bar=20),
            Result(work=work, figure="CPU a table, making it up included", value=1000 * spent_s / count, unit="ms"),
        ]
    return results


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:]))))
