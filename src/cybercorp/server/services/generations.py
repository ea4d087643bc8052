"""Generations of agents' keys: moved in memory, written together, and never more than one ahead of what is durable.

An agent that has the generation after the durable one is the same agent, whose confirmation was lost: with the agent,
on the way, or with this server. So what is handed out is always the one after the durable one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from cybercorp.store.records.agents import AgentRepository, AgentRow, Generation


class Generations:
    """Those that have moved and are not written yet. `on_elsewhere` is told of agents that another instance moved."""

    def __init__(self, agents: AgentRepository) -> None:
        self._agents = agents
        self._moved: dict[str, Generation] = {}
        self._saving = asyncio.Lock()
        self.on_elsewhere: Callable[[AgentRow], Awaitable[None]] = _nothing

    def __contains__(self, host_id: str) -> bool:
        return host_id in self._moved

    def move(self, host_id: str, to: Generation) -> None:
        self._moved[host_id] = to

    def forget(self, host_id: str) -> None:
        self._moved.pop(host_id, None)

    async def settle(self, host_id: str) -> None:
        """Return when nothing of this host waits; those that ask at once share one write. Raises StorageError."""
        if host_id in self._moved:
            async with self._saving:
                if host_id in self._moved:
                    await self._save()

    async def save(self) -> None:
        """Write all. Raises StorageError; then they are tried again."""
        async with self._saving:
            await self._save()

    async def _save(self) -> None:
        moved, self._moved = self._moved, {}
        try:
            elsewhere = await self._agents.advance(moved)
            for row in elsewhere:
                await self.on_elsewhere(row)
        except BaseException:
            self._moved = {**moved, **self._moved}
            raise


def kept(number: int, mark: str) -> Generation:
    """What the server keeps of a generation that it handed out."""
    return Generation(number, hashlib.sha256(mark.encode()).hexdigest() if mark else "")


async def _nothing(row: AgentRow) -> None:
    return
