"""Range queries against VictoriaMetrics: the same data, the same questions, in turns on the same machine.

    python -m benchmarks.queries

Hosts with recorded-looking rows of 16 series at 1 s: one over a day, 100 over an hour, 1,000 over a quarter of an hour.
CPU is that of the server's process per request; the peer answers without its cache of results. Needs Debian's
victoria-metrics; without it only our own figures are measured. Loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import numpy as np

from benchmarks.measure import Meter, Result, percentile, report, wait_until_ready
from cybercorp.bench.server import end_process, free_port
from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.metrics import Catalogue, MetricKind, Series, make_catalogue
from cybercorp.store.records.database import Records
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings

PEER = "victoria-metrics"
SERIES = 16
DAY_S, HOUR_S, QUARTER_S = 86_400, 3_600, 900
GROUPS = (("day", 1, DAY_S), ("hour", 100, HOUR_S), ("fleet", 1_000, QUARTER_S))
ROUNDS = 60
ALIGN_MS = 900_000
BATCH_S = 5


class Host(NamedTuple):
    """A host with its rows: those of the last `seconds`."""

    name: str
    seconds: int
    phase: int


class Question(NamedTuple):
    """What is asked of both; `bar` says that the peer's figure is one."""

    work: str
    ours: dict[str, str | int]
    path: str
    peer: dict[str, str | int]
    bar: bool = True


HOSTS = [Host(f"{group}-{n:03d}", seconds, 97 * n) for group, count, seconds in GROUPS for n in range(count)]


def catalogue() -> Catalogue:
    """The CPU, and counters and gauges around it."""
    cores = [Series(name="system.cpu.utilization", attributes={"cpu": str(n)}) for n in range(4)]
    counters = [
        Series(name="system.disk.io", unit="By", kind=MetricKind.COUNTER, attributes={"device": f"sd{n}"})
        for n in range(SERIES - 5)
    ]
    return make_catalogue([Series(name="system.cpu.utilization"), *cores, *counters])


def recording(rows: int = 1800) -> np.ndarray:
    """[rows, SERIES]: wandering ratios with four decimals, counters of bytes."""
    random = np.random.default_rng(7)
    ratios = np.clip(0.3 + np.cumsum(random.normal(0, 0.01, (rows, 5)), axis=0), 0.01, 0.99).round(4)
    return np.hstack([ratios, np.cumsum(random.integers(0, 90_000, (rows, SERIES - 5)), axis=0)])


def questions(end_ms: int) -> list[Question]:
    """The work of issue 3's table, and its grouped form."""
    end_s = end_ms // 1000

    def ours(hosts: str, seconds: int, step_s: int, **more: str | int) -> dict[str, str | int]:
        span = {"start_ms": end_ms - seconds * 1000, "end_ms": end_ms, "step_ms": step_s * 1000}
        return {"metric": "cpu", "selector": hosts, "aggregation": "avg", **span, **more}

    def over_range(query: str, seconds: int, step_s: int) -> dict[str, str | int]:
        return {"query": query, "start": end_s - seconds + step_s, "end": end_s, "step": step_s, "nocache": 1}

    cpu = "system_cpu_utilization"
    hour, fleet = f'{cpu}{{host=~"hour-.*",cpu=""}}', f'{cpu}{{host=~"fleet-.*",cpu=""}}'
    day = f'avg_over_time({cpu}{{host="day-000",cpu=""}}[180s])'
    ranges, now = "/api/v1/query_range", "/api/v1/query"
    return [
        Question("1 series, 24 h at 1 s, 480 points", ours("day-000", DAY_S, 180), ranges, over_range(day, DAY_S, 180)),
        Question(
            "100 hosts, 1 h at 10 s",
            ours("hour-*", HOUR_S, 10),
            ranges,
            over_range(f"avg_over_time({hour}[10s])", HOUR_S, 10),
        ),
        Question(
            "100 hosts, 1 h at 10 s, their mean",
            ours("hour-*", HOUR_S, 10, group="avg"),
            ranges,
            over_range(f"avg(avg_over_time({hour}[10s]))", HOUR_S, 10),
            bar=False,
        ),
        Question(
            "top 10 of 1,000 hosts over 5 min",
            ours("fleet-*", 300, 300, topk=10),
            now,
            {"query": f"topk(10, avg_over_time({fleet}[5m]))", "time": end_s, "nocache": 1},
        ),
        Question(
            "top 10 of 1,000 hosts over 15 min",
            ours("fleet-*", 900, 900, topk=10),
            now,
            {"query": f"topk(10, avg_over_time({fleet}[15m]))", "time": end_s, "nocache": 1},
        ),
        Question(
            "top 10 of 1,000 hosts now",
            ours("fleet-*", 60, 60, topk=10, aggregation="last"),
            now,
            {"query": f"topk(10, {fleet})", "time": end_s, "nocache": 1},
        ),
    ]


async def add_hosts(path: Path, joined_at_ms: int) -> list[int]:
    """Make the hosts known; their keys in order."""
    records = await Records.open(path)
    try:
        facts = HostFacts(hostname="bench")
        rows = [await records.hosts.create(host.name, {}, facts, joined_at_ms) for host in HOSTS]
        return [row.key for row in rows]
    finally:
        await records.close()


def fill_store(path: Path, keys: list[int], end_ms: int) -> int:
    """Write and seal everything as a server would, minute by minute; the number of samples."""
    known, values = catalogue(), recording()
    bodies = [row.astype("<f8").tobytes() for row in values]
    clock = ManualClock(end_ms - DAY_S * 1000)
    store = TimeSeries.open(path, TimeSeriesSettings(), clock)
    written = 0
    try:
        for key in keys:
            store.register_catalogue(key, known)
        for at in range(-DAY_S, 0, BATCH_S):
            rows = [
                StoredRow(
                    key,
                    "bench",
                    host.seconds + second + 1,
                    end_ms + second * 1000,
                    end_ms + second * 1000,
                    RecordType.SAMPLES,
                    known.id,
                    bodies[(host.seconds + second + host.phase) % len(bodies)],
                )
                for key, host in zip(keys, HOSTS, strict=True)
                if at >= -host.seconds
                for second in range(at, at + BATCH_S)
            ]
            written += store.write(rows).stored
            clock.advance(BATCH_S)
            if at % 60 == 0:
                store.seal()
        while store.seal(everything=True).pending:
            pass
    finally:
        store.close()
    return written * SERIES


@contextlib.contextmanager
def our_server(folder: Path, end_ms: int) -> Iterator[tuple[int, str, str]]:
    """A server with the data in it: its pid, address and token."""
    data_dir, port = folder / "data", free_port()
    data_dir.mkdir(mode=0o700)
    keys = asyncio.run(add_hosts(data_dir / "records.db", end_ms - 2 * DAY_S * 1000))
    began = time.perf_counter()
    samples = fill_store(data_dir / "samples.db", keys, end_ms)
    print(f"stored {samples / 1e6:.1f} M samples in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CYBERCORP_")}
    environment |= {"CYBERCORP_DATA_DIR": str(data_dir), "CYBERCORP_CONFIG_DIR": str(folder / "config")}
    command = [sys.executable, "-m", "cybercorp", "server", "run", "--port", str(port), "--data-dir", str(data_dir)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, 60)
        yield process.pid, url, json.loads((data_dir / "owner.json").read_text())["token"]
    finally:
        end_process(process)


@contextlib.contextmanager
def peer_server(folder: Path, end_ms: int) -> Iterator[tuple[int, str] | None]:
    """VictoriaMetrics with the same data: its pid and address; None where it is not installed."""
    program = shutil.which(PEER)
    if program is None:
        yield None
        return
    url = f"http://127.0.0.1:{free_port()}"
    command = [program, f"-httpListenAddr={url[7:]}", f"-storageDataPath={folder / 'peer'}", "-retentionPeriod=100y"]
    process = subprocess.Popen(
        [*command, "-search.disableCache", "-search.latencyOffset=0s"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"{url}/health")
        _fill_peer(url, end_ms)
        yield process.pid, url
    finally:
        end_process(process)


def _fill_peer(url: str, end_ms: int) -> None:
    values = recording()
    names = [(one.name.replace(".", "_"), one.attributes) for one in catalogue().series]
    for host in HOSTS:
        rows = values[(np.arange(host.seconds) + host.phase) % len(values)]
        times = (end_ms - (host.seconds - np.arange(host.seconds)) * 1000).tolist()
        lines = [
            json.dumps({"metric": {"__name__": name, "host": host.name, **labels}, "values": v, "timestamps": times})
            for (name, labels), v in zip(names, rows.T.tolist(), strict=True)
        ]
        request = urllib.request.Request(f"{url}/api/v1/import", data="\n".join(lines).encode())
        urllib.request.urlopen(request, timeout=60).read()
    urllib.request.urlopen(f"{url}/internal/force_flush", timeout=60).read()
    time.sleep(2)


class Asker:
    """One kept-alive connection to a server, and what its answers took."""

    def __init__(self, pid: int, url: str, headers: dict[str, str]) -> None:
        self._pid = pid
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._headers = headers
        self.wall_s: list[float] = []
        self.cpu_s = 0.0

    def ask(self, path: str, params: dict[str, str | int]) -> bytes:
        before, began = _cpu_s(self._pid), time.perf_counter()
        self._connection.request("GET", f"{path}?{urlencode(params)}", headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        self.wall_s.append(time.perf_counter() - began)
        self.cpu_s += _cpu_s(self._pid) - before
        if answer.status != 200:
            raise RuntimeError(body[:300])
        return body

    def forget(self) -> None:
        self.wall_s, self.cpu_s = [], 0.0


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process by the scheduler's clock of each thread: /proc/PID/stat has steps of 10 ms."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(path.read_text().split()[0])
    return total / 1e9


def measure() -> list[Result]:
    """Every question ROUNDS times, in turns."""
    end_ms = int(time.time() * 1000) // ALIGN_MS * ALIGN_MS
    results: list[Result] = []
    with (
        tempfile.TemporaryDirectory(prefix="cybercorp-bench-") as folder,
        our_server(Path(folder), end_ms) as (pid, url, token),
        peer_server(Path(folder), end_ms) as peer_at,
    ):
        settle(pid)
        ours = Asker(pid, url, {"Authorization": f"Bearer {token}", "Accept": "application/x-msgpack"})
        peer = Asker(*peer_at, {}) if peer_at else None
        for question in questions(end_ms):
            ours.ask("/api/v1/metrics/query", question.ours)
            first_s = ours.wall_s[-1]
            if peer:
                peer.ask(question.path, question.peer)
                peer.forget()
            ours.forget()
            for _ in range(ROUNDS):
                ours.ask("/api/v1/metrics/query", question.ours)
                if peer:
                    peer.ask(question.path, question.peer)
            results += _rows(question, ours, peer, first_s)
    return results


def settle(pid: int, quiet_s: float = 2.0, timeout_s: float = 60.0) -> None:
    """Wait until a server has done what it does after a start."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        meter = Meter(pid)
        time.sleep(quiet_s)
        if meter.percent() < 5:
            return


def _rows(question: Question, ours: Asker, peer: Asker | None, first_s: float) -> list[Result]:
    def milliseconds(figure: str, value_s: float, bar_s: float | None = None, whose: str = "") -> Result:
        bar = None if bar_s is None else bar_s * 1000
        return Result(work=question.work, figure=figure, value=value_s * 1000, unit="ms", bar=bar, peer=whose)

    bar_s = peer.cpu_s / ROUNDS if peer and question.bar else None
    rows = [
        milliseconds("CPU a request", ours.cpu_s / ROUNDS, bar_s, PEER if bar_s is not None else ""),
        milliseconds("wall, median", statistics.median(ours.wall_s)),
        milliseconds("wall, p99", percentile(ours.wall_s, 0.99), 0.1),
        milliseconds("wall of the first time", first_s),
    ]
    if peer:
        rows.append(milliseconds(f"CPU of {PEER} a request", peer.cpu_s / ROUNDS))
        rows.append(milliseconds(f"wall of {PEER}, median", statistics.median(peer.wall_s)))
    return rows


def _wait(url: str, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=2).read()
            return
        time.sleep(0.1)
    raise TimeoutError(f"{url} does not answer")


if __name__ == "__main__":
    sys.exit(report(measure()))
