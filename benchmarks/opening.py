"""How long a server takes to serve again after `kill -9` with rows in the log that were never sealed.

    python -m benchmarks.opening [HOSTS] [SECONDS]

1,000 hosts and an hour of rows a second apart, as in issue 3, take about a minute to write: 3.6 million rows, 1 GB.
Without arguments a tenth of it: 1,000 hosts and 6 minutes. The first process writes and kills itself; then a server is
started on its folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measure import PYTHON, Meter, Result, report
from cybercorp.bench.recording import body, catalogue
from cybercorp.bench.server import free_port
from cybercorp.core.clock import SystemClock
from cybercorp.core.paths import ensure_private_dir
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.hosts import HostFacts
from cybercorp.store.records.database import Records
from cybercorp.store.records.hosts import HostRow
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings

HOSTS, SECONDS = 1_000, 360
COMMITS = 4  # a second, as a server commits
BAR_S = 5.0
WORK_S = 240.0  # so long it is watched sealing what it found
MEMORY_BAR_MB = 1_200.0


def write(folder: str, hosts: int, seconds: int) -> None:
    """Fill the log with rows that end now, each host at its own place of the recording; then die."""
    known = catalogue()
    end_ms = SystemClock().now_ms()
    store = TimeSeries.open(
        Path(folder) / "samples.db", TimeSeriesSettings(head_max_bytes=1 << 40, head_raw_bytes=0), SystemClock()
    )
    for host in range(1, hosts + 1):
        store.register_catalogue(host, known)
    share = -(-hosts // COMMITS)
    for second in range(seconds):
        time_ms = end_ms - (seconds - second) * 1000
        for first in range(1, hosts + 1, share):
            store.write(
                [
                    StoredRow(
                        host,
                        f"stream-{host:032}",
                        second + 1,
                        time_ms,
                        time_ms,
                        RecordType.SAMPLES,
                        known.id,
                        body(host, second),
                    )
                    for host in range(first, min(first + share, hosts + 1))
                ]
            )
    os.kill(os.getpid(), signal.SIGKILL)


async def enrol(folder: Path, hosts: int) -> None:
    """The hosts' rows of `records.db`."""
    records = await Records.open(folder / "records.db")
    facts, now_ms = HostFacts(hostname="host"), SystemClock().now_ms()
    await records.hosts.restore(
        [
            HostRow(key=key, id=f"host_{key:032}", name=f"host-{key:05}", labels={}, facts=facts, joined_at_ms=now_ms)
            for key in range(1, hosts + 1)
        ]
    )
    await records.close()


def measure(hosts: int = HOSTS, seconds: int = SECONDS) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="cybercorp-bench-") as name:
        folder = ensure_private_dir(Path(name) / "data")
        asyncio.run(enrol(folder, hosts))
        empty = _start(folder)
        writer = [PYTHON, "-m", "benchmarks.opening", "--write", str(folder), str(hosts), str(seconds)]
        ran = subprocess.run(writer, check=False)
        if ran.returncode != -signal.SIGKILL:
            raise RuntimeError(f"the writer ended with {ran.returncode}")
        return _serve(folder, hosts, hosts * seconds, empty)


def _start(folder: Path) -> float:
    """CPU seconds until a server with nothing in its log is ready."""
    with _server(folder) as (_, meter):
        return meter.cpu_seconds()


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Meter]]:
    """A server on the folder that is ready, and a meter of its CPU since it was started."""
    port = free_port()
    command = [PYTHON, "-m", "cybercorp", "server", "run", "--port", str(port), "--data-dir", str(folder)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        meter = Meter(server.pid)
        _until_ready(f"http://127.0.0.1:{port}", server)
        yield server, meter
    finally:
        server.terminate()
        server.wait(60)


def _serve(folder: Path, hosts: int, rows: int, empty_s: float) -> list[Result]:
    size = sum(one.stat().st_size for one in folder.glob("samples.db*"))
    began = time.perf_counter()
    with _server(folder) as (server, meter):
        ready, cpu = time.perf_counter() - began, meter.cpu_seconds()
        memory = _peak_mb(server.pid)
        entries = _left(folder)
        while (left := _left(folder)) and time.perf_counter() - began < WORK_S:
            time.sleep(1)
        done, worked_s = rows * (1 - left / max(1, entries)), meter.cpu_seconds() - cpu
        work = f"open after kill -9, {hosts:,} hosts, {rows / 1e6:.2g} M rows"
        return [
            Result(work=work, figure="log on disk", value=size / rows, unit="B/row"),
            Result(work=work, figure="wall until ready", value=ready, unit="s", bar=BAR_S),
            Result(work=work, figure="CPU until ready", value=cpu, unit="s", bar=BAR_S),
            Result(work=work, figure="CPU until ready, empty log", value=empty_s, unit="s"),
            Result(work=work, figure="peak RSS until ready", value=memory, unit="MB", bar=MEMORY_BAR_MB),
            Result(
                work=work, figure=f"sealed within {time.perf_counter() - began:.0f} s", value=done / 1e6, unit="M rows"
            ),
            Result(work=work, figure="CPU for that", value=worked_s / max(1.0, done) * 1e6, unit="µs/row"),
            Result(work=work, figure="peak RSS", value=_peak_mb(server.pid), unit="MB", bar=MEMORY_BAR_MB),
        ]


def _until_ready(url: str, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=60) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"the server ended with {server.returncode}")


def _left(folder: Path) -> int:
    """Entries in the log, seen from outside."""
    connection = sqlite3.connect(f"{(folder / 'samples.db').as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        return int(connection.execute("SELECT count(*) FROM log").fetchone()[0])
    finally:
        connection.close()


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--write"]:
        write(arguments[1], int(arguments[2]), int(arguments[3]))
    numbers = [int(one) for one in arguments]
    return report(measure(*numbers))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
