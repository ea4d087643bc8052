"""One server process under 1,000 simulated agents × 124 series at 1 Hz, durable, with 50 viewers.

python -m benchmarks.server_load [AGENTS] [VIEWERS] [SECONDS]
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from benchmarks.measure import PYTHON, Meter, Result, report, running_server
from benchmarks.simulator import SERIES


def measure(agents: int = 1000, viewers: int = 50, seconds: int = 60) -> list[Result]:
    with running_server() as server:
        meter = Meter(server.pid)
        simulator = subprocess.Popen(
            [PYTHON, "-m", "benchmarks.simulator", "--url", server.url, "--token", server.token]
            + ["--agents", str(agents), "--viewers", str(viewers), "--seconds", str(seconds)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=server.environment,
        )  # fmt: skip
        assert simulator.stderr is not None
        for line in simulator.stderr:
            if line.strip() == "enrolled":
                break
        time.sleep(max(3.0, agents / 500 + 3))  # connected, viewers subscribed
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
        Result(work=work, figure="rows sent, not acknowledged", value=figures["sent"] - figures["acknowledged"], unit="rows", bar=0),
        Result(work=work, figure="samples per CPU second", value=agents * SERIES * span / cpu_s / 1e6, unit="M"),
        Result(work=work, figure="acknowledgement p50", value=figures["ack_p50_ms"], unit="ms"),
        Result(work=work, figure="acknowledgement p99", value=figures["ack_p99_ms"], unit="ms"),
        Result(work=work, figure="agent → viewer p50", value=figures["view_p50_ms"], unit="ms"),
        Result(work=work, figure="agent → viewer p99", value=figures["view_p99_ms"], unit="ms"),
        Result(work=work, figure="fleet windows a viewer and second", value=figures["windows"] / viewers / seconds, unit="1/s"),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:4]))))
