"""One server process under 1,000 simulated agents × 124 series at 1 Hz, durable, with 50 viewers.

python -m benchmarks.server_load [AGENTS] [VIEWERS] [SECONDS]
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.measure import Meter, Result, report, running_server, start_simulator
from benchmarks.simulator import SERIES


def measure(agents: int = 1000, viewers: int = 50, seconds: int = 60) -> list[Result]:
    with running_server() as server:
        simulator = start_simulator(server, agents=agents, viewers=viewers, seconds=seconds)
        time.sleep(5)
        meter = Meter(server.pid)
        time.sleep(seconds - 5)
        percent, cpu_s, rss, span = meter.percent(), meter.cpu_seconds(), meter.rss_mb(), seconds - 5
        output, _ = simulator.communicate(timeout=120)
        figures = json.loads(output)
    work = f"server, {agents} agents × {SERIES} at 1 Hz, {viewers} viewers"
    if figures["failed"] or figures["acknowledged"] != figures["sent"]:
        print(f"failures: {figures}", file=sys.stderr)
    return [
        Result(work=work, figure="CPU", value=percent, unit="% core"),
        Result(work=work, figure="RSS", value=rss, unit="MB"),
        Result(
            work=work,
            figure="rows not acknowledged",
            value=figures["sent"] - figures["acknowledged"],
            unit="rows",
            bar=0,
        ),
        Result(work=work, figure="samples per CPU second", value=agents * SERIES * span / cpu_s / 1e6, unit="M"),
        Result(work=work, figure="acknowledgement p50", value=figures["ack_p50_ms"], unit="ms"),
        Result(work=work, figure="acknowledgement p99", value=figures["ack_p99_ms"], unit="ms"),
        Result(work=work, figure="agent → viewer p50", value=figures["view_p50_ms"], unit="ms"),
        Result(work=work, figure="agent → viewer p99", value=figures["view_p99_ms"], unit="ms"),
        Result(
            work=work, figure="windows a viewer, s", value=figures["windows"] / max(viewers, 1) / seconds, unit="1/s"
        ),
    ]


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:4]))))
