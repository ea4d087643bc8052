"""10,000 agents × 124 series at 1 Hz against one server for five minutes, then what it acknowledged is counted.

    python -m benchmarks.ten_thousand [AGENTS] [SECONDS]

The load is that of `cybercorp bench` in two processes. After the last acknowledgement the server is killed with
SIGKILL, its store is opened here, and of every host the acknowledged rows are read back and compared with what was
sent, bit for bit. Needs two cores: one for the server, one for the agents. Loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from benchmarks.measure import Result, report
from cybercorp.bench.recording import HOST_SHIFT, ROWS, SERIES, catalogue, recorded_values
from cybercorp.bench.running import Load, name_of, run_load
from cybercorp.bench.server import started_server
from cybercorp.cli.launch.signals import signals_interrupt
from cybercorp.core.clock import SystemClock
from cybercorp.store.records.database import Records
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings

AGENTS, SECONDS = 10_000, 300
ACK_BAR_MS, RSS_BAR_MB, CPU_BAR = 1_500, 1_200, 100
SLACK_MS = 60_000


class Found(NamedTuple):
    """Acknowledged rows that are not in the store as they were sent; all rows there; seconds that reading took."""

    lost: int
    rows: int
    seconds: float


def read_back(data_dir: Path, rows_by_agent: dict[int, int], start_ms: int, end_ms: int) -> Found:
    """Compare what the store of a dead server holds with what it acknowledged."""
    keys = asyncio.run(_keys(data_dir))
    began, lost, held = time.monotonic(), 0, 0
    width, values = len(catalogue().series), recorded_values()
    with contextlib.closing(TimeSeries.open(data_dir / "samples.db", TimeSeriesSettings(), SystemClock())) as store:
        for agent, acknowledged in rows_by_agent.items():
            key = keys.get(name_of(agent))
            blocks = [] if key is None else [block.values for block in store.rows(key, start_ms, end_ms)]
            found = np.concatenate([np.empty((0, width)), *blocks])
            held += len(found)
            # Row number n of an agent (from 1) is the recording's row n + agent × HOST_SHIFT.
            places = (1 + np.arange(min(acknowledged, len(found))) + agent * HOST_SHIFT) % ROWS
            same = (found[: len(places)].view(np.int64) == values[places].view(np.int64)).all(axis=1)
            lost += acknowledged - int(same.sum())
    return Found(lost, held, time.monotonic() - began)


async def _keys(data_dir: Path) -> dict[str, int]:
    records = await Records.open(data_dir / "records.db")
    try:
        return {host.name: host.key for host in await records.hosts.list_()}
    finally:
        await records.close()


def measure(agents: int = AGENTS, seconds: int = SECONDS) -> list[Result]:
    start_ms = time.time_ns() // 1_000_000 - SLACK_MS
    with started_server() as server:
        assert server.pid is not None
        assert server.data_dir is not None
        load = Load(agents=agents, seconds=seconds, workers=2, settle=False)
        done = asyncio.run(run_load(server, load, _tell))
        os.kill(server.pid, signal.SIGKILL)
        with contextlib.suppress(psutil.Error):
            psutil.Process(server.pid).wait(30)
        found = read_back(server.data_dir, done.rows_by_agent, start_ms, time.time_ns() // 1_000_000 + SLACK_MS)
    for failure in done.failures:
        print(failure, file=sys.stderr)
    print(f"{found.rows:,} rows read back in {found.seconds:.0f} s", file=sys.stderr)
    work = f"{agents:,} agents × {SERIES} at 1 Hz, {seconds / 60:g} min"
    due = agents * seconds
    return [
        Result(work=work, figure="acknowledged rows lost after kill -9", value=found.lost, unit="rows", bar=0),
        Result(work=work, figure="rows sent, not acknowledged", value=done.rows_sent - done.rows_acknowledged,
               unit="rows", bar=0),
        Result(work=work, figure="connections that failed", value=len(done.failures), unit="", bar=0),
        Result(work=work, figure="behind the due rate", value=max(0.0, 100 * (1 - done.rows_sent / due)), unit="%",
               bar=1),
        Result(work=work, figure="acknowledgement p50", value=done.ack_p50_ms or 0, unit="ms"),
        Result(work=work, figure="acknowledgement p99", value=done.ack_p99_ms or 1e9, unit="ms", bar=ACK_BAR_MS),
        Result(work=work, figure="acknowledgement, longest", value=done.ack_max_ms or 0, unit="ms"),
        Result(work=work, figure="peak RSS", value=(done.server_rss_bytes or 0) / 1e6, unit="MB", bar=RSS_BAR_MB),
        Result(work=work, figure="CPU", value=done.server_cpu_percent or 0, unit="% core", bar=CPU_BAR),
        Result(work=work, figure="samples stored", value=done.samples_per_s / 1e6, unit="M/s"),
        Result(work=work, figure="CPU of the agents", value=100 * done.generator_cpu_s / done.seconds, unit="% core"),
    ]  # fmt: skip


_told: list[str] = []


def _tell(text: str, share: float | None) -> None:
    """A line where something new begins."""
    step = text.partition(":")[0]
    if [step] != _told[-1:]:
        _told.append(step)
        print(f"{time.strftime('%H:%M:%S')} {step}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    with signals_interrupt():
        sys.exit(report(measure(*map(int, sys.argv[1:3]))))
