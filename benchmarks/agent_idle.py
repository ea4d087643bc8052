"""The agent with all monitors at 1 Hz, nobody watching, beside prometheus-node-exporter scraped at 1 Hz.

    python -m benchmarks.agent_idle [SECONDS]

Needs the Debian package prometheus-node-exporter (only its program); both run at the same time.
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.measure import Meter, Result, find_child, report, running_server
from cybercorp.bench.server import free_port

EXPORTER = "prometheus-node-exporter"


@contextlib.contextmanager
def running_exporter() -> Iterator[tuple[int, int]]:
    """node_exporter on a free port of loopback: (pid, port)."""
    program = shutil.which(EXPORTER)
    if program is None:
        raise SystemExit(f"{EXPORTER} is not installed. On Debian: apt install {EXPORTER}")
    port = free_port()
    process = subprocess.Popen([program, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
    try:
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(10)


def scrape(port: int) -> int:
    """One scrape; the size of the answer in bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        return len(connection.getresponse().read())


def measure(seconds: float = 60) -> list[Result]:
    with running_server(agent=True) as server, running_exporter() as (exporter_pid, port):
        agent_pid = find_child(server.pid, "agent", "run")
        server_pid = find_child(server.pid, "server", "run")
        for _ in range(10):  # both warm: first readings, first connections
            with contextlib.suppress(OSError):
                scrape(port)
            time.sleep(1)
        agent, exporter, local = Meter(agent_pid), Meter(exporter_pid), Meter(server_pid)
        due = time.monotonic()
        while time.monotonic() - due < seconds:
            scrape(port)
            time.sleep(max(0.0, 1 - (time.monotonic() - due) % 1))
        work = "agent, 1 Hz, nobody watching"
        peer = exporter.percent()
        return [
            Result(
                work=work, figure="CPU", value=agent.percent(), unit="% core", bar=peer, peer="node_exporter at 1 Hz"
            ),
            Result(work=work, figure="RSS", value=agent.rss_mb(), unit="MB", bar=45),
            Result(work=work, figure="RSS of node_exporter", value=exporter.rss_mb(), unit="MB"),
            Result(work="server of `up`, one agent", figure="CPU", value=local.percent(), unit="% core"),
            Result(work="server of `up`, one agent", figure="RSS", value=local.rss_mb(), unit="MB"),
        ]


if __name__ == "__main__":
    sys.exit(report(measure(*map(float, sys.argv[1:2]))))
