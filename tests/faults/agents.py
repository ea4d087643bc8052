"""A real agent as a process that is ill-treated."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from cybercorp.security.credentials import AGENT_FILE, write_credential
from tests.joined import credential_of, joined, new_key

SCRIPT = """
import sys
from cybercorp.agent.main import run_agent
from cybercorp.agent.settings import AgentSettings
from cybercorp.core.errors import CyberCorpError
try:
    run_agent(AgentSettings(url=sys.argv[1], state_dir=sys.argv[2], interval_ms=int(sys.argv[3])))
except CyberCorpError as error:
    print(f"{error.error_code}: {error}", file=sys.stderr)
    raise SystemExit(1)
"""
QUICK_MS = 100


class FaultyAgent:
    """One agent that samples ten times a second, so that a second of outage is ten records. Started at once."""

    def __init__(self, port: int, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.port = port
        self.folder = folder
        self.environment = environment
        self.log = folder.parent / "agent.log"
        self.process = self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.kill()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it (again)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            url = f"http://127.0.0.1:{self.port}"
            if not (self.folder / AGENT_FILE).exists():
                write_credential(self.folder / AGENT_FILE, credential_of(joined("host_1", new_key()), url))
            command = [sys.executable, "-c", SCRIPT, url, str(self.folder), str(QUICK_MS)]
            self.process = subprocess.Popen(command, stderr=log, env=self.environment)
        return self.process

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> float:
        """SIGTERM; the seconds it took."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0
        return time.monotonic() - start

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()
