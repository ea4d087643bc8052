"""Every open socket learns here that the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class OpenSockets:
    """`stop` is called once; each socket then closes with 1012 (service restart, RFC 6455 registry)."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._endings: set[Callable[[], None]] = set()

    def stop(self) -> None:
        """The server stops."""
        self.stopping.set()
        for end in list(self._endings):
            end()

    def add(self, end: Callable[[], None]) -> None:
        """Call this when the server stops; at once where it does already."""
        self._endings.add(end)
        if self.stopping.is_set():
            end()

    def remove(self, end: Callable[[], None]) -> None:
        """It has ended by itself."""
        self._endings.discard(end)
