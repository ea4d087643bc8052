"""The dashboard in a real terminal: first frame, first live numbers, keys, and 1,000 hosts at 1 Hz.

    python -m benchmarks.dashboard [AGENTS] [SECONDS]

The program runs in a pseudo-terminal; what it draws is read by a terminal emulator, as a person would see it.
"""

from __future__ import annotations

import os
import re
import select
import statistics
import sys
import time

from benchmarks.fleets import simulated_fleet
from benchmarks.measure import PYTHON, Meter, Result, percentile, report, running_server
from tests.e2e.terminal import Terminal


class TimedTerminal(Terminal):
    """The dashboard in a terminal of 120×40, with a stop-watch that starts with the program."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.began = time.perf_counter()
        super().__init__([PYTHON, "-m", "cybercorp", "tui"], environment, columns=120, lines=40)

    def seconds_until(self, pattern: str) -> float:
        """Seconds from the start until the screen shows `pattern`; TimeoutError with the screen after 20 s."""
        self.wait_for(lambda text: re.search(pattern, text) is not None, 20)
        return time.perf_counter() - self.began

    def answer_s(self, key: bytes) -> float:
        """Seconds from a key to the first byte drawn after it."""
        self.settle(0.02)
        began = time.perf_counter()
        os.write(self.master, key)
        self.read(2)
        return time.perf_counter() - began

    def drain(self, seconds: float) -> None:
        """Take what is drawn without emulating it."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                os.read(self.master, 1 << 20)


def measure(agents: int = 1000, seconds: int = 60) -> list[Result]:
    results = []
    with running_server(agent=True) as server:
        time.sleep(8)
        frames, numbers = [], []
        for _ in range(5):
            with TimedTerminal(server.environment) as terminal:
                frames.append(terminal.seconds_until(r"CyberCorp|CPU"))
                numbers.append(terminal.seconds_until(r"\d+(\.\d+)? ?%"))
        work = "dashboard, running server"
        median = statistics.median
        results += [
            Result(work=work, figure="first frame, median", value=median(frames), unit="s", bar=1),
            Result(work=work, figure="first live numbers, median", value=median(numbers), unit="s", bar=2),
        ]
    with (
        running_server() as server,
        simulated_fleet(server, agents=agents, seconds=seconds + 30),
        TimedTerminal(server.environment) as terminal,
    ):
        terminal.seconds_until(r"bench-\d+")
        terminal.drain(5)
        meter = Meter(terminal.process.pid)
        terminal.drain(seconds - 20)
        cpu = meter.percent()
        keys = [terminal.answer_s(key) for key in [b"\x1b[B", b"\x1b[B", b"\x1b[A", b"\x1b[6~", b"\x1b[5~"] * 8]
        work = f"dashboard, fleet of {agents} at 1 Hz"
        results += [
            Result(work=work, figure="CPU", value=cpu, unit="% core", bar=15),
            Result(work=work, figure="RSS", value=meter.rss_mb(), unit="MB", bar=120),
            Result(
                work=work,
                figure="key to first byte drawn, median",
                value=1000 * median(keys),
                unit="ms",
                bar=50,
            ),
            Result(
                work=work,
                figure="key to first byte drawn, p95",
                value=1000 * percentile(keys, 0.95),
                unit="ms",
                bar=50,
            ),
        ]
    return results


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:3]))))
