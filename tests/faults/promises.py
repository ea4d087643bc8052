"""A process that writes and tells what it was promised, and the check that the promises were kept."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from cybercorp.protocol.metrics import Aggregation, MetricSelector
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.reading.rollups import Tier
from cybercorp.store.timeseries.rows import Selection
from tests.unit.store.building import CPU, DISK, FIRST, START_MS, ask, open_store
from tests.unit.store.timeseries.sender import STEP_MS, value_of

ROOT = Path(__file__).parents[2]
_SCRIPT = "import sys\nfrom tests.unit.store.timeseries import sender\n{before}\nsender.main(*sys.argv[1:])"


class Writer:
    """A sender in a process of its own; `acked` is what it was promised so far, by host."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *, hosts: int = 4, before: str = "pass") -> None:
        """`before` is Python that runs in the process first."""
        command = [sys.executable, "-c", _SCRIPT.format(before=before), str(folder), str(hosts)]
        self.process = subprocess.Popen(
            command,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "src"), **environment},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.acked: dict[int, int] = {}
        self.lines = 0
        self._first = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def run_for(self, seconds: float) -> None:
        """Let it write for so long after its first promise, then kill it."""
        try:
            if not self._first.wait(60):
                raise TimeoutError("nothing was promised within a minute")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        finally:
            self.process.kill()
            self.wait()

    def wait(self, timeout_s: float = 60) -> int:
        """Wait for its end; returns the exit status."""
        code = self.process.wait(timeout_s)
        self._reader.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith("\n") and line[0].isdigit():  # the last line may be cut by the kill
                host, seq = map(int, line.split())
                self.acked[host] = seq
                self.lines += 1
                self._first.set()
        self._first.set()


def minutes(store: TimeSeries, host: int, end_ms: int) -> list[float]:
    """How many rows each minute has, as the rollups tell it where there are some; the sender writes one a minute."""
    selection = [Selection(host, MetricSelector(name=CPU.name))]
    (found,) = store.query(selection, START_MS + STEP_MS, end_ms, STEP_MS, Aggregation.COUNT, tier=Tier.MINUTE)
    return [float(value) for value in found.values]


def check_promises(folder: Path, acked: Mapping[int, int]) -> list[str]:
    """What is wrong, one sentence each: acknowledged ⊆ stored, nothing twice, every value as it was sent."""
    findings = []
    with contextlib.closing(open_store(folder)) as store:
        rows = 0
        for host, promised in acked.items():
            stored = store.acked_seq(host, "s")
            rows += stored
            if stored < promised:
                findings.append(f"host {host}: {promised} rows were acknowledged, {stored} are stored")
            start, end = START_MS + STEP_MS, START_MS + (stored + 1) * STEP_MS
            found = ask(store, start, end, STEP_MS, Aggregation.LAST, host=host) if stored else {}
            expected = [value_of(host, seq) for seq in range(1, stored + 1)]
            if found.get(CPU.key, []) != expected or found.get(DISK.key, []) != [-value for value in expected]:
                findings.append(f"host {host}: what is stored is not what was sent")
            if stored and minutes(store, host, end) != [1.0] * stored:
                findings.append(f"host {host}: the minutes do not say what the rows say")
        samples = store.stats().samples
        if samples != rows * len(FIRST.series):  # equal timestamps hide from a query what is stored twice
            findings.append(f"{samples} samples are stored for {rows} rows")
        findings.extend(store.check())
    return findings
