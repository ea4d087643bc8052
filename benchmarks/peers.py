"""The ingest path beside Prometheus and VictoriaMetrics: the same rows, in turns, on the same machine.

    python -m benchmarks.peers [HOSTS] [ROWS] [ROUNDS]

Ours is the whole path: authenticated WebSocket, commit, acknowledgement, and sealing of every row. The peers get the
same values by remote write and five seconds more for what they do afterwards. What counts is the CPU of the server's
process for a million samples. Needs Debian's prometheus and victoria-metrics. Loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Result, report
from benchmarks.remote_write import send
from cybercorp.bench.results import BenchResult
from cybercorp.bench.running import Load, run_load
from cybercorp.bench.server import end_process, free_port, started_server

READY_S = 30
WINDOW = 8


class Peer(NamedTuple):
    """A server that takes remote write. `factor` is how many times less CPU than it ours has to take."""

    name: str
    program: str
    factor: float
    arguments: Callable[[Path, int], list[str]]


PEERS = (
    Peer(
        "Prometheus",
        "prometheus",
        3.0,
        lambda folder, port: [
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver",
        ],
    ),
    Peer(
        "VictoriaMetrics",
        "victoria-metrics",
        1.5,
        lambda folder, port: [
            f"-storageDataPath={folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=1y",
        ],
    ),
)


class RunningPeer(NamedTuple):
    """Where it is."""

    url: str
    pid: int
    folder: Path


@contextlib.contextmanager
def running_peer(peer: Peer) -> Iterator[RunningPeer]:
    """Start a peer with an empty temporary folder; ended on leaving. SystemExit says what to install."""
    program = shutil.which(peer.program)
    if program is None:
        raise SystemExit(f"{peer.name} is not installed: apt-get install {peer.program}")
    with tempfile.TemporaryDirectory(prefix="cybercorp-peer-") as made:
        folder, port = Path(made), free_port()
        (folder / "prometheus.yml").write_text("global: {}\n")
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([program, *peer.arguments(folder, port)], stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/-/healthy", process)
            yield RunningPeer(f"http://127.0.0.1:{port}", process.pid, folder)
        finally:
            end_process(process)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def ours(hosts: int, rows: int) -> BenchResult:
    """One run of `cybercorp bench` at full speed."""
    load = Load(agents=hosts, rows=rows, seconds=600, window=WINDOW)
    with started_server() as server:
        result = asyncio.run(run_load(server, load, lambda text, share: None))
    if not result.whole:
        raise SystemExit(f"rows were lost: {result}")
    return result


def theirs(peer: Peer, hosts: int, rows: int) -> float:
    """CPU seconds for a million samples."""
    with running_peer(peer) as running:
        found = asyncio.run(send(f"{running.url}/api/v1/write", running.pid, hosts, rows))
    if found["refused"]:
        raise SystemExit(f"{peer.name} refused {found['refused']} requests")
    return 1e6 * found["cpu_s"] / found["samples"]


def measure(hosts: int = 500, rows: int = 60, rounds: int = 3) -> list[Result]:
    """Medians of the rounds; each round runs everybody once."""
    costs: dict[str, list[float]] = {peer.name: [] for peer in PEERS}
    mine: list[float] = []
    for number in range(rounds):
        for peer in PEERS:
            costs[peer.name].append(theirs(peer, hosts, rows))
        done = ours(hosts, rows)
        mine.append(1e6 / (done.samples_per_cpu_s or 1))
        told = ", ".join(f"{name} {found[-1]:.2f}" for name, found in costs.items())
        print(f"round {number + 1}: {told}, ours {mine[-1]:.2f} CPU s a million samples", file=sys.stderr, flush=True)
    work, cost = f"ingest, {hosts} agents × {rows} recorded rows, sealed", statistics.median(mine)
    results = [Result(work=work, figure="samples per CPU second", value=1 / cost, unit="M")]
    for peer in PEERS:
        theirs_cost = statistics.median(costs[peer.name])
        results += [
            Result(work=work, figure=f"samples per CPU second, {peer.name}", value=1 / theirs_cost, unit="M"),
            Result(
                work=work,
                figure="CPU for a million samples",
                value=cost,
                unit="s",
                bar=theirs_cost / peer.factor,
                peer=f"{peer.name} / {peer.factor:g}",
            ),
        ]
    return results


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:]))))
