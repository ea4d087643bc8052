"""One server process under 1,000 simulated agents × 124 series at 1 Hz, durable, with 50 viewers.

python -m benchmarks.server_load [AGENTS] [VIEWERS] [SECONDS]
"""

from __future__ import annotations

import asyncio
import sys

from benchmarks.measure import Result, report
from cybercorp.bench.recording import SERIES
from cybercorp.bench.running import Load, run_load
from cybercorp.bench.server import started_server


def measure(agents: int = 1000, viewers: int = 50, seconds: int = 60) -> list[Result]:
    with started_server() as server:
        load = Load(agents=agents, viewers=viewers, seconds=seconds, settle=False)
        found = asyncio.run(run_load(server, load, lambda text, share: None))
    work = f"server, {agents:,} agents × {SERIES} at 1 Hz, {viewers} viewers"
    for failure in found.failures:
        print(failure, file=sys.stderr)
    missing = found.rows_sent - found.rows_acknowledged
    figures: list[tuple[str, float | None, str, float | None]] = [
        ("CPU", found.server_cpu_percent, "% core", None),
        ("peak RSS", (found.server_rss_bytes or 0) / 1e6, "MB", None),
        ("rows not acknowledged", missing, "rows", 0),
        ("samples per CPU second", (found.samples_per_cpu_s or 0) / 1e6, "M", None),
        ("acknowledgement p50", found.ack_p50_ms, "ms", None),
        ("acknowledgement p99", found.ack_p99_ms, "ms", None),
        ("agent → viewer p50", found.delivery_p50_ms, "ms", None),
        ("agent → viewer p99", found.delivery_p99_ms, "ms", None),
        ("windows a viewer", found.windows_delivered / max(viewers, 1) / seconds, "1/s", None),
    ]
    return [
        Result(work=work, figure=figure, value=value, unit=unit, bar=bar)
        for figure, value, unit, bar in figures
        if value is not None
    ]


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:4]))))
