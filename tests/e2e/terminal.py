"""A program in a real pseudo-terminal: what it sends, byte for byte, and the screen that a person would see."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pyte

# pyte does not know some private modes of newer terminals; they draw nothing.
_UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[?<>=][0-9;$]*[a-zA-Z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bP[^\x1b]*\x1b\\")


class Terminal:
    """Use as a context manager; `sent` collects every byte the program wrote."""

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        *,
        columns: int = 120,
        lines: int = 40,
        folder: Path | None = None,
    ) -> None:
        self.master, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            cwd=folder,
            env={
                **environment,
                "TERM": "xterm-256color",
                "COLORTERM": "truecolor",
                "LANG": "C.UTF-8",
                "LC_ALL": "C.UTF-8",
            },
        )
        os.close(inner)
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.sent = b""

    def __enter__(self) -> Self:
        return self

    def read(self, timeout_s: float = 0.05) -> bool:
        """Take what the program wrote within `timeout_s`; False when there was nothing."""
        if not select.select([self.master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self.master, 1 << 18)
        except OSError:
            return False
        self.sent += data
        self.stream.feed(_UNKNOWN_TO_PYTE.sub(b"", data))
        return bool(data)

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def wait_for(self, shown: str | Callable[[str], bool], timeout_s: float = 30) -> str:
        """The screen, once it shows this text (or satisfies the function); TimeoutError with the screen otherwise."""
        look = shown if callable(shown) else lambda text: shown in text
        deadline = time.monotonic() + timeout_s
        while not look(self.text):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the terminal never showed {shown!r}:\n{self.text}")
            self.read()
        return self.text

    def press(self, *keys: str) -> None:
        """Type keys, and take what is drawn in answer until it is quiet for a moment."""
        for key in keys:
            os.write(self.master, key.encode())
            self.settle()

    def settle(self, quiet_s: float = 0.3, at_most_s: float = 5) -> None:
        """Read until nothing new comes for `quiet_s`."""
        deadline = time.monotonic() + at_most_s
        while self.read(quiet_s) and time.monotonic() < deadline:
            pass

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
