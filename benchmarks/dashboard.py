"""The dashboard in a real terminal: first frame, first live numbers, keys, and 1,000 hosts at 1 Hz.

    python -m benchmarks.dashboard [AGENTS] [SECONDS]

The program runs in a pseudo-terminal; what it draws is read by a terminal emulator, as a person would see it.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import statistics
import struct
import subprocess
import sys
import termios
import time

import pyte

from benchmarks.measure import PYTHON, Meter, Result, percentile, report, running_server, start_simulator

COLUMNS, LINES = 120, 40


class Terminal:
    """A program in a pseudo-terminal of 120×40 and the screen a person would see."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.master, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
            env={**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"},
        )  # fmt: skip
        os.close(inner)
        self.screen = pyte.Screen(COLUMNS, LINES)
        self.stream = pyte.ByteStream(self.screen)

    def read(self, timeout_s: float) -> bytes:
        """What the program draws within `timeout_s` (the first piece of it), shown on the screen."""
        if not select.select([self.master], [], [], timeout_s)[0]:
            return b""
        try:
            data = os.read(self.master, 1 << 20)
        except OSError:
            return b""
        # pyte does not know the private modes that newer terminals have; they draw nothing.
        self.stream.feed(re.sub(rb"\x1b\[[?<>=][0-9;$]*[a-zA-Z]|\x1b\][^\x07]*\x07|\x1bP.*?\x1b\\", b"", data))
        return data

    def text(self) -> str:
        return "\n".join(self.screen.display)

    def wait_for(self, pattern: str, timeout_s: float) -> float:
        """Seconds from the start until the screen shows `pattern`; TimeoutError with the screen otherwise."""
        deadline = time.perf_counter() + timeout_s
        while time.perf_counter() < deadline:
            self.read(0.05)
            if re.search(pattern, self.text()):
                return time.perf_counter() - self.began
        raise TimeoutError(f"the dashboard never showed {pattern!r}:\n{self.text()}")

    def press(self, key: bytes) -> float:
        """Seconds from a key to the first byte drawn in answer."""
        while self.read(0.02):
            pass
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

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


def measure(agents: int = 1000, seconds: int = 60) -> list[Result]:
    results = []
    command = [PYTHON, "-m", "cybercorp", "tui"]
    with running_server(agent=True) as server:
        time.sleep(8)
        frames, numbers = [], []
        for _ in range(5):
            terminal = Terminal(command, server.environment)
            frames.append(terminal.wait_for(r"CyberCorp|CPU", 15))
            numbers.append(terminal.wait_for(r"\d+(\.\d+)? ?%", 15))
            terminal.close()
        work = "dashboard, running server"
        median = statistics.median
        results += [
            Result(work=work, figure="first frame, median", value=median(frames), unit="s", bar=1),
            Result(work=work, figure="first live numbers, median", value=median(numbers), unit="s", bar=2),
        ]
    with running_server() as server:
        simulator = start_simulator(server, agents=agents, viewers=0, seconds=seconds + 30)
        time.sleep(5)
        terminal = Terminal(command, server.environment)
        try:
            terminal.wait_for(r"sim-\d+", 20)
            terminal.drain(5)
            meter = Meter(terminal.process.pid)
            terminal.drain(seconds - 20)
            cpu = meter.percent()
            keys = [terminal.press(key) for key in [b"\x1b[B", b"\x1b[B", b"\x1b[A", b"\x1b[6~", b"\x1b[5~"] * 8]
            work = f"dashboard, fleet of {agents} at 1 Hz"
            results += [
                Result(work=work, figure="CPU", value=cpu, unit="% core", bar=15),
                Result(work=work, figure="RSS", value=meter.rss_mb(), unit="MB", bar=120),
                Result(
                    work=work, figure="key to first byte drawn, median", value=1000 * median(keys), unit="ms", bar=50
                ),
                Result(
                    work=work, figure="key to first byte drawn, p95", value=1000 * percentile(keys, 0.95), unit="ms"
                ),
            ]
        finally:
            terminal.close()
            simulator.terminate()
            simulator.wait()
    return results


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:3]))))
