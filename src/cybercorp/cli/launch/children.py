"""One child process: start it on its lifeline, see it end, stop it politely and then for good."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cybercorp.cli.launch.lifeline import VARIABLE
from cybercorp.cli.launch.logs import ChildLog


def cybercorp(*arguments: str) -> list[str]:
    """The command line of one of our programs, run by this very interpreter."""
    return [sys.executable, "-m", "cybercorp", *arguments]


class Child:
    """A program as a child: its command line, its log, what its environment has beyond ours."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.command = list(command)
        self.environ = dict(environ or {})
        self.log = ChildLog(log)
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it. Raises StorageUnwritableError where its log cannot be written."""
        log = self.log.open()
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=reading,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environ, VARIABLE: "stdin", "PYTHONUNBUFFERED": "1"},
                # Its own session: Ctrl-C and a closed terminal reach the supervisor alone, which stops it in order.
                start_new_session=True,
            )
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)
            os.close(log)
        self._cut_lifeline()
        self._lifeline = writing

    def wait(self, timeout_s: float) -> bool:
        """True as soon as it does not run, False where it still runs after `timeout_s`."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: the signal), None while it runs or where it never ran."""
        return self._process.poll() if self._process is not None else None

    def ask_to_stop(self) -> None:
        """SIGTERM; nothing where it has ended."""
        if self.pid is not None and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def stop(self, timeout_s: float) -> None:
        """Ask it to stop, and end it where it has not after `timeout_s`."""
        self.ask_to_stop()
        if not self.wait(timeout_s):
            self.kill()
        self._cut_lifeline()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def why(self) -> str:
        """How it ended, in words: what it said itself, else its exit code or signal."""
        message, _ = self.log.failure()
        code = self.exit_code
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"ended by {signal.Signals(-code).name}"
        return message or f"exit {code}"

    def _cut_lifeline(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
