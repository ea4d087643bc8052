"""The whole product as a user has it: `cybercorp up --headless`, real processes on loopback, in folders of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
COMMAND = [sys.executable, "-m", "cybercorp"]


def wait_until(look: Callable[[], T], what: str, timeout_s: float = 30) -> T:
    """The first true answer of `look`, asked twenty times a second; TimeoutError naming `what` after the deadline."""
    deadline, pause = time.monotonic() + timeout_s, threading.Event()
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        pause.wait(0.05)


def free_port() -> int:
    """A TCP port of loopback that nobody uses right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Stack:
    """A running `cybercorp up --headless`."""

    folder: Path
    port: int
    process: subprocess.Popen[str] = field(repr=False)
    environment: dict[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def token(self) -> str:
        return str(json.loads((self.data_dir / "owner.json").read_text())["token"])

    def run(self, *arguments: str, check: bool = True, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """One `cybercorp` command as a user of this machine gives it."""
        return subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout_s,
            cwd=self.folder,
        )

    def get(self, path: str) -> object:
        """The JSON answer of a GET with the owner's token."""
        request = urllib.request.Request(f"{self.url}{path}", headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


def user_environment(folder: Path) -> dict[str, str]:
    """The environment of a user whose folders lie in `folder`, with none of ours leaking in."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CYBERCORP_", "COV_"))}
    return {
        **kept,
        "CYBERCORP_DATA_DIR": str(folder / "data"),
        "CYBERCORP_CONFIG_DIR": str(folder / "config"),
        "HOME": str(folder),
        "PYTHONWARNINGS": "default",
    }


def is_ready(url: str) -> bool:
    """Whether /health/ready answers 200; whose certificate it is does not matter here."""
    context = ssl._create_unverified_context() if url.startswith("https:") else None
    asked = f"{url}/health/ready"
    with contextlib.suppress(OSError), urllib.request.urlopen(asked, timeout=2, context=context) as answer:
        return bool(answer.status == 200)
    return False


@contextlib.contextmanager
def running_stack(folder: Path, *arguments: str, numbers: bool = True) -> Iterator[Stack]:
    """`cybercorp up --headless`, ready, and with `numbers` showing this machine's CPU; stopped on leaving."""
    port, environment = free_port(), user_environment(folder)
    log = (folder / "up.log").open("w")
    process = subprocess.Popen(
        [*COMMAND, "up", "--headless", "--port", str(port), *arguments],
        env=environment,
        stdout=log,
        stderr=log,
        text=True,
        cwd=folder,
    )
    stack = Stack(folder, port, process, environment)
    try:
        wait_until(lambda: process.poll() is not None or is_ready(stack.url), "the server answers ready")
        if process.poll() is not None:
            raise RuntimeError(f"`cybercorp up` ended with {process.returncode}:\n{(folder / 'up.log').read_text()}")
        if numbers:
            wait_until(lambda: _has_numbers(stack), "the agent's first numbers")
        yield stack
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            log.close()


def _has_numbers(stack: Stack) -> bool:
    with contextlib.suppress(OSError, urllib.error.URLError):
        hosts = stack.get("/api/v1/hosts")
        return isinstance(hosts, list) and any((host.get("summary") or {}).get("cpu") is not None for host in hosts)
    return False
