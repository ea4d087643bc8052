"""How long short commands take: `--version` beside `import typer`, `hosts` with a server, `up` to first numbers.

python -m benchmarks.startup
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from benchmarks.measure import PYTHON, Result, report, running_server

RUNS = 15


def seconds(command: list[str], environment: dict[str, str] | None = None) -> float:
    """Wall seconds of one run, which must succeed."""
    began = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure() -> list[Result]:
    version, typer, ratios = [], [], []
    for _ in range(RUNS):  # in turn, so that both see the same machine
        version.append(seconds([PYTHON, "-m", "cybercorp", "--version"]))
        typer.append(seconds([PYTHON, "-c", "import typer"]))
        ratios.append(version[-1] / typer[-1])
    began = time.perf_counter()
    with running_server(agent=True) as server:
        ready = time.perf_counter() - began
        while not first_numbers(server.environment):
            if time.perf_counter() - began > 60:
                raise TimeoutError("`cybercorp hosts` shows no CPU a minute after the start")
            time.sleep(0.05)
        numbers = time.perf_counter() - began
        hosts = [seconds([PYTHON, "-m", "cybercorp", "hosts"], server.environment) for _ in range(RUNS)]
    median = statistics.median
    return [
        Result(work="cybercorp --version", figure="ratio to `import typer`", value=median(ratios), unit="×", bar=3),
        Result(work="cybercorp --version", figure="wall, median", value=1000 * median(version), unit="ms"),
        Result(work="cybercorp hosts", figure="wall, median", value=1000 * median(hosts), unit="ms", bar=400),
        Result(work="cybercorp up, cold", figure="server ready", value=ready, unit="s"),
        Result(work="cybercorp up, cold", figure="first live numbers", value=numbers, unit="s", bar=10),
    ]


def first_numbers(environment: dict[str, str]) -> bool:
    """Whether `cybercorp hosts` shows a CPU value."""
    command = [PYTHON, "-m", "cybercorp", "hosts", "-o", "json"]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return any(host.get("cpu") is not None for host in json.loads(answer.stdout or "[]"))


if __name__ == "__main__":
    sys.exit(report(measure()))
