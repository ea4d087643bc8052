"""The server under load: started in a folder of its own, or one that runs already; and what it costs."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from cybercorp.core.errors import InternalError
from cybercorp.security.credentials import OWNER_FILE, read_credential

READY_S = 30.0
SAMPLED_S = 0.25


class ServerUnderLoad:
    """Where it is, who owns it, and the process and folder where they are ours to measure."""

    def __init__(self, url: str, token: str, *, pid: int | None = None, data_dir: Path | None = None) -> None:
        self.url = url
        self.token = token
        self.pid = pid
        self.data_dir = data_dir

    def disk_bytes(self) -> int | None:
        """Everything in the data folder."""
        if self.data_dir is None:
            return None
        return sum(path.stat().st_size for path in self.data_dir.rglob("*") if path.is_file())


class Meter:
    """CPU seconds of a process since `begin`, and the most memory it was seen with. Use it with `with`."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._began = self._cpu()
        self.peak_rss_bytes = 0

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def begin(self) -> None:
        """Count from now."""
        self._began = self._cpu()

    def cpu_s(self) -> float:
        """CPU seconds since `begin`."""
        return self._cpu() - self._began

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _watch(self) -> None:
        with contextlib.suppress(psutil.Error):
            while True:
                self.peak_rss_bytes = max(self.peak_rss_bytes, int(self._process.memory_info().rss))
                if self._ended.wait(SAMPLED_S):
                    return


@contextlib.contextmanager
def started_server(database_url: str | None = None, *, folder: Path | None = None) -> Iterator[ServerUnderLoad]:
    """`cybercorp server run` on loopback with a temporary folder (in `folder`); ended and removed on leaving.

    Raises InternalError where it does not become ready.
    """
    with tempfile.TemporaryDirectory(prefix="cybercorp-bench-", dir=folder) as made:
        data_dir, port, log_path = Path(made) / "data", free_port(), Path(made) / "server.log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("CYBERCORP_")}
        environment["CYBERCORP_DATA_DIR"] = str(data_dir)
        environment["CYBERCORP_CONFIG_DIR"] = str(Path(made) / "config")
        if database_url:
            environment["CYBERCORP_SERVER_DATABASE_URL"] = database_url
        command = [sys.executable, "-m", "cybercorp", "server", "run", "--port", str(port)]
        with log_path.open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait_until_ready(process, port, log_path)
            credential = read_credential(data_dir / OWNER_FILE)
            assert credential is not None
            yield ServerUnderLoad(credential.url, credential.token, pid=process.pid, data_dir=data_dir)
        finally:
            end_process(process)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    deadline = time.monotonic() + READY_S
    request = f"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as asking:
            asking.sendall(request)
            if b" 200 " in asking.recv(64):
                return
        time.sleep(0.05)
    last = log_path.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
    raise InternalError(f"The server did not become ready: {last[0][:300]}", hint="Try: cybercorp server run")


def end_process(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL where that does not do."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A TCP port of loopback that nobody uses right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
