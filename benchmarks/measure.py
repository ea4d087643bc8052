"""What every benchmark measures with: CPU seconds and memory of a process from outside, percentiles, result rows."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from cybercorp.bench.server import end_process, free_port

PYTHON = sys.executable


@dataclass(frozen=True, kw_only=True)
class Result:
    """One measured figure. `bar` is what it must not exceed (None: only reported), `peer` whose bar it is."""

    work: str
    figure: str
    value: float
    unit: str
    bar: float | None = None
    peer: str = ""

    @property
    def passed(self) -> bool:
        return self.bar is None or self.value <= self.bar

    def line(self) -> str:
        bar = "" if self.bar is None else f"   bar ≤ {self.bar:.4g} {self.unit}{f' ({self.peer})' if self.peer else ''}"
        verdict = "" if self.bar is None else "   ✔" if self.passed else "   ✖ FALLS SHORT"
        return f"{self.work:34} {self.figure:44} {self.value:10.4g} {self.unit:6}{bar}{verdict}"


def report(results: Sequence[Result]) -> int:
    """Print the rows for people on stderr and as JSON lines on stdout; 1 when a bar is missed."""
    for result in results:
        print(result.line(), file=sys.stderr)
        print(json.dumps(asdict(result)), flush=True)
    return 0 if all(result.passed for result in results) else 1


class Meter:
    """CPU seconds of one process and the children it has, between two looks."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self.began, self.cpu = time.perf_counter(), self._cpu()

    def _cpu(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system  # type: ignore[no-any-return]

    def percent(self) -> float:
        """Per cent of one core since the meter was made."""
        return 100 * (self._cpu() - self.cpu) / (time.perf_counter() - self.began)

    def cpu_seconds(self) -> float:
        return self._cpu() - self.cpu

    def rss_mb(self) -> float:
        return self.process.memory_info().rss / 1e6  # type: ignore[no-any-return]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0–1) of `values` lie; nan without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


@dataclass(frozen=True)
class RunningServer:
    """A server that a benchmark started: its process, address, data folder and owner token."""

    pid: int
    url: str
    data_dir: Path
    token: str
    environment: dict[str, str]


@contextlib.contextmanager
def running_server(*, agent: bool = False) -> Iterator[RunningServer]:
    """`cybercorp server run` (with `agent`: `up --headless`) on loopback in a folder of its own; ended on leaving."""
    with tempfile.TemporaryDirectory(prefix="cybercorp-bench-") as folder:
        data_dir, port = Path(folder) / "data", free_port()
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("CYBERCORP_")},
            "CYBERCORP_DATA_DIR": str(data_dir),
            "CYBERCORP_CONFIG_DIR": str(Path(folder) / "config"),
        }
        verb = ["up", "--headless"] if agent else ["server", "run"]
        command = [PYTHON, "-m", "cybercorp", *verb, "--port", str(port), "--data-dir", str(data_dir)]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url)
            token = json.loads((data_dir / "owner.json").read_text())["token"]
            yield RunningServer(process.pid, url, data_dir, token, environment)
        finally:
            end_process(process)


def wait_until_ready(url: str, timeout_s: float = 20) -> None:
    """Return when the server answers ready; TimeoutError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health/ready", timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise TimeoutError(f"{url} was not ready within {timeout_s:.0f} s")


def find_child(pid: int, *words: str, timeout_s: float = 15) -> int:
    """The pid of the descendant of `pid` whose command line holds all `words`, as soon as there is one."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if set(words) <= set(child.cmdline()):
                    return int(child.pid)
        time.sleep(0.1)
    raise LookupError(f"process {pid} has no child {' '.join(words)}")


# The peers each benchmark runs beside: program, how it says its version.
_PEERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "agent_idle": (("prometheus-node-exporter", "--version"),),
    "agent_watched": ((os.environ.get("GLANCES", "glances"), "-V"),),
    "peers": (("prometheus", "--version"), ("dpkg-query", "-W", "-f=VictoriaMetrics ${Version}", "victoria-metrics")),
    "peer_storage": (("dpkg-query", "-W", "-f=VictoriaMetrics ${Version}", "victoria-metrics"),),
    "queries": (("dpkg-query", "-W", "-f=VictoriaMetrics ${Version}", "victoria-metrics"),),
}


def peers(name: str) -> str:
    """The versions of the peers that this benchmark runs beside, as they say them; empty without any."""
    found = []
    for command in _PEERS.get(name, ()):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
            first = (told.stdout or told.stderr).strip().splitlines()[:1]
            found += [" ".join(line.partition("(branch")[0].split()) for line in first]
    return "; ".join(found)


def machine() -> str:
    """The machine and versions a result belongs to."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
        else:
            model = platform.processor()
        memory = psutil.virtual_memory().total / 2**30
        system = f"Linux {platform.release()}, Python {platform.python_version()}"
        return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {system}"
    return f"{platform.platform()}, Python {platform.python_version()}"
