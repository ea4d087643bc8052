"""Somebody with a terminal of their own, who types what they are asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pexpect

from tests.integration.serving import ServerThread

PASSWORD = "four unrelated words"
_NOT_MINE = ("CYBERCORP_", "DISPLAY", "WAYLAND_DISPLAY")


class Person:
    """Somebody with a terminal and a home of their own."""

    def __init__(self, home: Path, server: ServerThread) -> None:
        self.home = home
        self.server = server
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_NOT_MINE)},
            "CYBERCORP_CONFIG_DIR": str(home / "config"),
            "CYBERCORP_DATA_DIR": str(home / "data"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
            "TERM": "xterm",
        }

    def run(self, *arguments: str) -> pexpect.spawn[str]:
        """A command on a terminal."""
        return pexpect.spawn(
            sys.executable,
            ["-m", "cybercorp", *arguments],
            env=self.environ,
            encoding="utf-8",
            timeout=20,
            dimensions=(50, 120),
        )

    def read(self, *arguments: str) -> str:
        """What a command says that asks nothing; its exit status must be 0."""
        child = self.run(*arguments)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0, child.before
        return str(child.before)

    def login(self, name: str) -> pexpect.spawn[str]:
        child = self.run("login", self.server.url, "--user", name)
        child.expect("Password: ")
        child.sendline(PASSWORD)
        return child
