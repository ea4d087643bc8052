"""Whether a store that grows stays as fast: the same fleet for longer, 10⁷, 10⁸ and 10⁹ samples.

    python -m benchmarks.growth [SAMPLES …]

Each size is a store of its own in a process of its own: 100 hosts, the 124 recorded series once a second, a commit of
1,000 rows at a time and sealing every minute of a clock that is set forward, then everything merged and rolled up. At
every size the same questions are asked while the last minutes are still unsealed, and the cost of ingest is all CPU
until nothing is left to do. 10⁹ takes about ten minutes of CPU and 500 MB; `quick` is 10⁶ and 10⁷ in half a minute.
"""

from __future__ import annotations

import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.measure import PYTHON, Result, report
from cybercorp.bench.recording import SERIES, body, catalogue
from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.metrics import Aggregation, Matcher, MetricSelector, Series
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings

HOSTS = 100
SIZES = (10**7, 10**8, 10**9)
QUICK = (10**6, 10**7)
BAR = 1.3
COMMIT_S = 10  # seconds of every host in one commit
SEAL_S = 60
SETTLING_H = 12
ASKED = 20
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
END_MS = 1_800_000_000_000 // DAY_MS * DAY_MS + 21 * HOUR_MS + 14 * MINUTE_MS  # as far into a half hour at every size
SETTINGS = TimeSeriesSettings(retention_ms=3650 * DAY_MS, max_bytes=1 << 50)


class Question(NamedTuple):
    """A span that ends now, in points of `step_ms`, of the first `hosts` hosts; of every fifth series from `group`."""

    group: int
    name: str
    hosts: int
    span_ms: int
    step_ms: int


# The first three fit into the smallest store, the others are the table's own where there is that much history.
QUESTIONS = (
    Question(0, "1 series, 10 min at 1 s, 500 points", 1, 10 * MINUTE_MS, 1_200),
    Question(1, "100 hosts × 1 series, 10 min at 10 s", HOSTS, 10 * MINUTE_MS, 10_000),
    Question(2, "top 10 of 100 hosts over 10 min", HOSTS, 10 * MINUTE_MS, 10 * MINUTE_MS),
    Question(3, "100 hosts × 1 series, 1 h at 10 s", HOSTS, HOUR_MS, 10_000),
    Question(4, "1 series, 20 h, 400 points", 1, 20 * HOUR_MS, 3 * MINUTE_MS),
)


class Grown(NamedTuple):
    """What a store of so many samples cost and costs: CPU seconds, milliseconds a question, bytes."""

    samples: int
    hours: float
    write_s: float
    seal_s: float
    longest_commit_ms: float
    asked_ms: dict[str, float]
    open_ms: float
    rss_bytes: int
    disk_bytes: int

    @property
    def ingest_us(self) -> float:
        return (self.write_s + self.seal_s) / self.samples * SERIES * 1e6


def grow(folder: Path, samples: int, hosts: int = HOSTS) -> Grown:
    """Fill a store in `folder` with so many samples, ask it, let it settle, open it again."""
    path, seconds = folder / "samples.db", max(COMMIT_S, round(samples / SERIES / hosts))
    start_ms, known = END_MS - seconds * 1000, catalogue()
    clock = ManualClock(start_ms)
    commits: list[float] = []
    write_s = seal_s = 0.0
    with contextlib.closing(TimeSeries.open(path, SETTINGS, clock)) as store:
        for host in range(1, hosts + 1):
            store.register_catalogue(host, known)
        for first in range(0, seconds, COMMIT_S):
            rows = _rows(hosts, start_ms, range(first, min(first + COMMIT_S, seconds)), known.id)
            commits.append(_cpu_s(lambda rows=rows: store.write(rows)))  # type: ignore[misc]
            clock.advance(len(rows) / hosts)
            if first % SEAL_S == SEAL_S - COMMIT_S:
                seal_s += _cpu_s(lambda: _seal(store))
        write_s = sum(commits)
        asked: dict[str, float] = {}
        for one in QUESTIONS:
            if one.span_ms <= seconds * 1000:
                asked |= _ask(store, one, hosts)
        for _ in range(SETTLING_H):
            clock.advance(HOUR_MS / 1000)
            seal_s += _cpu_s(lambda: _seal(store))
        held = store.stats().samples
    if held != seconds * hosts * SERIES:
        raise RuntimeError(f"{seconds * hosts * SERIES:,} samples were written, {held:,} are there")
    disk = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    open_s = statistics.median(_cpu_s(lambda: TimeSeries.open(path, SETTINGS, clock).close()) for _ in range(5))
    return Grown(
        held, seconds / 3600, write_s, seal_s, 1000 * max(commits), asked, 1000 * open_s, peak, disk
    )  # fmt: skip


def _rows(hosts: int, start_ms: int, seconds: range, known: str) -> list[StoredRow]:
    samples = RecordType.SAMPLES
    return [
        StoredRow(
            host, "s", second + 1, start_ms + second * 1000, start_ms + second * 1000, samples, known,
            body(host, second),
        )
        for second in seconds
        for host in range(1, hosts + 1)
    ]  # fmt: skip


def _seal(store: TimeSeries) -> None:
    while store.seal().pending:
        continue


def _ask(store: TimeSeries, question: Question, hosts: int) -> dict[str, float]:
    """Milliseconds of CPU, medians: of series that nobody asked for before, and of one that somebody did."""
    several = [list(range(1, hosts + 1))] if question.hosts > 1 else [[host] for host in range(1, hosts + 1, 8)]
    until = END_MS // question.step_ms * question.step_ms
    start = until - question.span_ms
    tier = store.choose_tier(start, until, question.step_ms, Aggregation.AVG)

    def ask(chosen: list[int], series: Series) -> float:
        matchers = tuple(Matcher(attribute=name, glob=value) for name, value in series.attributes.items())
        selector = MetricSelector(name=series.name, matchers=matchers)
        began = time.process_time()
        found = store.query_hosts(chosen, [selector], start, until, question.step_ms, Aggregation.AVG, tier=tier)
        newest = np.array([one.values[-1] for one in found if one.series == series])
        best = np.argsort(-newest)[:10]
        took = time.process_time() - began
        if len(newest) != len(chosen) or np.isnan(newest[best]).any():
            raise RuntimeError(f"{question.name}: {len(newest)} of {len(chosen)} hosts answered")
        return 1000 * took

    fresh = [one for number, one in enumerate(catalogue().series) if number % len(QUESTIONS) == question.group]
    first = [ask(chosen, series) for chosen in several for series in fresh]
    again = [ask(chosen, fresh[0]) for _ in range(ASKED) for chosen in several]
    return {question.name: statistics.median(first), f"{question.name}, again": statistics.median(again)}


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def grown(samples: int) -> Grown:
    """`grow` in a process of its own, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="cybercorp-growth-") as folder:
        command = [PYTHON, "-m", "benchmarks.growth", "--in", folder, str(samples)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Grown(*json.loads(done.stdout))


def measure(sizes: Sequence[int] = SIZES) -> list[Result]:
    """Every size, and each figure as a ratio to the best one that a smaller store had."""
    results: list[Result] = []
    best: dict[str, float] = {}

    def told(work: str, figure: str, value: float, unit: str) -> None:
        results.append(Result(work=work, figure=figure, value=value, unit=unit))
        if figure in best:
            ratio = value / best[figure]
            results.append(Result(work=work, figure=f"{figure}: to a smaller store's", value=ratio, unit="×", bar=BAR))
        best[figure] = min(value, best.get(figure, value))

    for samples in sizes:
        one = grown(samples)
        work = f"{_power(samples)} samples, {HOSTS} hosts × {one.hours:.1f} h"
        told(work, "ingest, sealed and merged", one.ingest_us, "µs/row")
        for name, milliseconds in one.asked_ms.items():
            told(work, name, milliseconds, "ms CPU")
        results += [
            Result(work=work, figure="of the ingest: log and head", value=1e6 * one.write_s / one.samples * SERIES,
                   unit="µs/row"),
            Result(work=work, figure="longest commit", value=one.longest_commit_ms, unit="ms CPU"),
            Result(work=work, figure="open the store", value=one.open_ms, unit="ms CPU"),
            Result(work=work, figure="peak RSS", value=one.rss_bytes / 1e6, unit="MB"),
            Result(work=work, figure="disk", value=one.disk_bytes / one.samples, unit="B/sample"),
        ]  # fmt: skip
        print(f"{work}: {one.ingest_us:.1f} µs/row", file=sys.stderr, flush=True)
    return results


def _power(number: int) -> str:
    """10⁷, 3×10⁷."""
    digits, power = f"{number:.0e}".split("e")
    raised = str(int(power)).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if digits == "1" else f"{digits}×10{raised}"


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--in"]:
        print(json.dumps(grow(Path(arguments[1]), int(arguments[2]))))
        return 0
    if arguments == ["quick"]:
        return report(measure(QUICK))
    return report(measure([int(float(one)) for one in arguments] or SIZES))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
