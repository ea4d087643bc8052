"""What waits to be sent to one connection: bounded, with states conflated and a log in order.

A state (`put_state`) replaces the one with the same key that still waits: the latest wins. An entry of a log
(`put_entry`) is never dropped; when too many wait, the connection is too slow and must be cut.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable

MAX_ENTRIES = 2_000
MAX_ENTRY_BYTES = 8 * 1024 * 1024


class Outbox:
    """One per connection. Used from one event loop only."""

    def __init__(self) -> None:
        self._states: dict[Hashable, bytes] = {}
        self._entries: deque[bytes] = deque()
        self._entry_bytes = 0
        self._ready = asyncio.Event()
        self.overflowed = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._entries and not self._states

    def put_state(self, key: Hashable, data: bytes) -> None:
        """Send this, in place of what waits under `key`."""
        self._states[key] = data
        self._ready.set()

    def forget_state(self, key: Hashable) -> None:
        """What waits under `key` is not sent."""
        self._states.pop(key, None)

    def put_entry(self, data: bytes) -> None:
        """Send this after all earlier entries."""
        if len(self._entries) >= MAX_ENTRIES or self._entry_bytes + len(data) > MAX_ENTRY_BYTES:
            self.overflowed = True
        else:
            self._entries.append(data)
            self._entry_bytes += len(data)
        self._ready.set()

    async def next(self) -> bytes:
        """The next message; entries of the log go before states."""
        while not self._entries and not self._states:
            self._ready.clear()
            await self._ready.wait()
            if self.overflowed:
                return b""
        if self._entries:
            data = self._entries.popleft()
            self._entry_bytes -= len(data)
            return data
        key = next(iter(self._states))
        return self._states.pop(key)
