"""What one-minute and one-hour rollups add to a day of recorded metrics, and the CPU of sealing, merging, rolling up.

The recording is half an hour long, so a day repeats it. Each repetition is 13 s shorter than the recording, so that no
two of its minutes hold the same rows; counters go on growing. Values still repeat, which makes long chunks of rows
cheaper than a real day's: for the percentage that is the pessimistic side. `python -m benchmarks.rollup_size`
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.measure import Result, report
from benchmarks.storage_size import recorded_values
from cybercorp.bench import recording
from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.metrics import MetricKind
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.index import period_of, period_start
from cybercorp.store.timeseries.rollup_index import DAY_PERIODS
from cybercorp.store.timeseries.rows import StoredRow, TierStats
from cybercorp.store.timeseries.settings import TimeSeriesSettings

_ANY_MS = 1_800_000_000_000
START_MS = period_start(1, (period_of(1, _ANY_MS) // DAY_PERIODS + 1) * DAY_PERIODS)  # a day of host 1, not of two
CUT_S = 13
BATCH_S = 10
DAY_S = 86_400
BAR_PERCENT = 15.0


class Day(NamedTuple):
    """Tiers after a day, the CPU microseconds per row of all background work, and the part that made the tiers."""

    tiers: dict[str, TierStats]
    background_us: float
    tiers_us: float
    longest_ms: float


def repeated(seconds: int) -> np.ndarray:
    """float64 [seconds, series]: the recording again and again, its counters growing on."""
    values = recorded_values()
    values = values[: len(values) - CUT_S]
    counters = np.array([one.kind is MetricKind.COUNTER for one in recording.catalogue().series])
    growth = np.where(counters, values[-1] - values[0], 0.0)
    times = -(-seconds // len(values))
    return np.concatenate([values + growth * number for number in range(times)])[:seconds]


def store_day(folder: Path, hosts: int, seconds: int) -> Day:
    """Write the rows of `seconds` in commits of ten seconds, sealing every minute, and let all become history."""
    catalogue, values = recording.catalogue(), repeated(seconds)
    clock = ManualClock(START_MS)
    used = tiers = longest = 0.0
    with contextlib.closing(TimeSeries.open(folder / "samples.db", TimeSeriesSettings(), clock)) as store:
        for host in range(1, hosts + 1):
            store.register_catalogue(host, catalogue)

        def seal() -> None:
            nonlocal used, tiers, longest
            pending = True
            while pending:
                began = time.process_time()
                done = store.seal()
                took = time.process_time() - began
                used, pending, longest = used + took, done.pending, max(longest, took)
                tiers += took if done.settled else 0.0

        for at in range(0, seconds, BATCH_S):
            store.write(
                [
                    StoredRow(
                        host, "s", second + 1, START_MS + second * 1000 + 279, clock.now_ms(), RecordType.SAMPLES,
                        catalogue.id, values[second].tobytes(),
                    )
                    for host in range(1, hosts + 1)
                    for second in range(at, min(at + BATCH_S, seconds))
                ]
            )  # fmt: skip
            clock.advance(BATCH_S)
            if at % 60 == 60 - BATCH_S:
                seal()
        for _ in range(3 * 24):
            clock.advance(3600)
            seal()
        stats = store.stats()
    rows = hosts * seconds
    return Day({one.name: one for one in stats.tiers}, used / rows * 1e6, tiers / rows * 1e6, longest * 1e3)


def measure(hosts: int = 1, seconds: int = DAY_S) -> list[Result]:
    """The percentage, against its bar, and the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        day = store_day(Path(folder), hosts, seconds)
    raw, minutes, hours = (day.tiers[name] for name in ("raw", "1m", "1h"))
    work = f"rollups of {hosts} host{'s' if hosts > 1 else ''} × {seconds / 3600:g} h at 1 s"
    added = 100 * (minutes.size_bytes + hours.size_bytes) / raw.size_bytes
    return [
        Result(work=work, figure="added to the samples' bytes", value=added, unit="%", bar=BAR_PERCENT),
        Result(work=work, figure="of it minutes", value=100 * minutes.size_bytes / raw.size_bytes, unit="%"),
        Result(work=work, figure="of it hours", value=100 * hours.size_bytes / raw.size_bytes, unit="%"),
        Result(work=work, figure="samples", value=raw.size_bytes / raw.values, unit="B per sample"),
        Result(work=work, figure="seal, merge, roll up", value=day.background_us, unit="µs per row"),
        Result(work=work, figure="of it long chunks and rollups", value=day.tiers_us, unit="µs per row"),
        Result(work=work, figure="longest step", value=day.longest_ms, unit="ms of CPU"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=DAY_S)
    given = parser.parse_args()
    return report(measure(given.hosts, given.seconds))


if __name__ == "__main__":
    sys.exit(main())
