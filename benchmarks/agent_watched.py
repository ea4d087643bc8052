"""The agent with 300 more processes and a viewer on the process table at 1 Hz, beside glances at the same interval.

    python -m benchmarks.agent_watched [SECONDS]

Needs `glances` (PyPI) on the PATH or named by GLANCES, best in an environment of its own.
"""

from __future__ import annotations

import asyncio
import os
import pty
import select
import shutil
import subprocess
import sys
import time

from benchmarks.measure import Meter, Result, find_child, report, running_server
from cybercorp import AsyncClient
from cybercorp.protocol.live import ProcessesUpdate, Subscribe, Topic

PROCESSES = 300


async def watch(url: str, token: str, seconds: float) -> tuple[int, int]:
    """Watch the process table of the only host; (tables received, processes in the last)."""
    tables = rows = 0
    async with AsyncClient(url, token=token) as fleet, fleet.connect_live() as live:
        host = (await fleet.hosts.list())[0]
        await live.subscribe(Subscribe(subscription=1, topic=Topic.PROCESSES, host=host.id))
        try:
            async with asyncio.timeout(seconds):
                async for update in live:
                    if isinstance(update, ProcessesUpdate):
                        tables, rows = tables + 1, len(update.table.pid)
        except TimeoutError:
            pass
    return tables, rows


def drain(terminal: int, seconds: float) -> None:
    """Read what a terminal program draws, so that it never waits for us."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            try:
                os.read(terminal, 65536)
            except OSError:
                return


def measure(seconds: float = 40) -> list[Result]:
    glances = os.environ.get("GLANCES") or shutil.which("glances")
    if glances is None:
        raise SystemExit(
            "glances is not installed. Run: pip install glances (or name it with GLANCES=/path/to/glances)"
        )
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(PROCESSES)]
    terminal, inner = pty.openpty()
    peer = None
    try:
        with running_server(agent=True) as server:
            agent_pid = find_child(server.pid, "agent", "run")
            peer = subprocess.Popen(
                [glances, "-t", "1", "--disable-check-update"],
                stdin=inner, stdout=inner, stderr=subprocess.DEVNULL,
                env={**server.environment, "TERM": "xterm-256color", "LINES": "50", "COLUMNS": "160"},
            )  # fmt: skip
            drain(terminal, 6)

            async def both() -> tuple[float, float, int, int]:
                warm = asyncio.create_task(watch(server.url, server.token, seconds + 4))
                await asyncio.to_thread(drain, terminal, 4)
                agent, other = Meter(agent_pid), Meter(peer.pid)
                await asyncio.to_thread(drain, terminal, seconds - 1)
                used = agent.percent(), other.percent()
                tables, rows = await warm
                return *used, tables, rows

            mine, theirs, tables, rows = asyncio.run(both())
            if peer.poll() is not None:
                raise SystemExit(f"glances ended by itself with {peer.returncode}; start it by hand to see why.")
            work = f"agent, table of {rows} watched, 1 Hz"
            return [
                Result(
                    work=work, figure="CPU", value=mine, unit="% core", bar=0.6 * theirs, peer="60 % of glances -t 1"
                ),
                Result(work=work, figure="CPU of glances", value=theirs, unit="% core"),
                Result(work=work, figure="tables a second", value=tables / (seconds + 4), unit="1/s"),
            ]
    finally:
        for process in [*sleepers, *([peer] if peer else [])]:
            process.kill()
            process.wait()
        os.close(terminal)
        os.close(inner)


if __name__ == "__main__":
    sys.exit(report(measure(*map(float, sys.argv[1:2]))))
