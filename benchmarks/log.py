"""What storing costs before sealing: the append log, the rows in memory, and sealing behind it, in one process.

    python -m benchmarks.log [HOSTS] [SECONDS]

Rows of the recording, four commits a second, on a clock that is moved by hand; sealed every five seconds as a server
does. Without arguments 10,000 hosts for 70 s of their time.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Result, report
from cybercorp.bench.recording import body, catalogue
from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings

HOSTS, SECONDS = 10_000, 70
COMMITS = 4
SEAL_S = 5
WRITE_BAR_US = 12.0


def measure(hosts: int = HOSTS, seconds: int = SECONDS) -> list[Result]:
    clock, known = ManualClock(), catalogue()
    written = sealed = sealed_rows = 0.0
    head_mb = 0.0
    with tempfile.TemporaryDirectory(prefix="cybercorp-bench-") as folder:
        store = TimeSeries.open(Path(folder) / "samples.db", TimeSeriesSettings(), clock)
        for host in range(1, hosts + 1):
            store.register_catalogue(host, known)
        before_mb, before_io = _status("VmRSS"), _written_bytes()
        io_bytes = 0
        for second in range(seconds):
            for first in range(1, hosts + 1, -(-hosts // COMMITS)):
                rows = _rows(clock.now_ms(), first, min(first + -(-hosts // COMMITS), hosts + 1), second, known.id)
                began = time.process_time()
                store.write(rows)
                written += time.process_time() - began
            clock.advance(1.0)
            if second % SEAL_S == SEAL_S - 1:
                io_bytes += _written_bytes() - before_io
                head_mb = max(head_mb, store.stats().head_bytes / 1e6)
                began = time.process_time()
                pending = True
                while pending:
                    done = store.seal()
                    sealed_rows, pending = sealed_rows + done.rows, done.pending
                sealed += time.process_time() - began
                before_io = _written_bytes()
        store.close()
        work, count = f"log, {hosts:,} hosts, {seconds} s", hosts * seconds
        return [
            Result(work=work, figure="write, CPU", value=written / count * 1e6, unit="µs/row", bar=WRITE_BAR_US),
            Result(work=work, figure="seal, CPU", value=sealed / max(1, sealed_rows) * 1e6, unit="µs/row"),
            Result(work=work, figure="written by write", value=io_bytes / count, unit="B/row"),
            Result(work=work, figure="rows that wait, in memory", value=head_mb, unit="MB"),
            Result(
                work=work, figure="peak RSS over that of the empty store", value=_status("VmHWM") - before_mb, unit="MB"
            ),
        ]


def _rows(time_ms: int, first: int, end: int, second: int, catalogue_id: str) -> list[StoredRow]:
    return [
        StoredRow(
            host,
            f"stream-{host:032}",
            second + 1,
            time_ms,
            time_ms,
            RecordType.SAMPLES,
            catalogue_id,
            bytes(bytearray(body(host, second))),  # each row an object of its own, as the network makes them
        )
        for host in range(first, end)
    ]


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(name))


def _written_bytes() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:]))))
