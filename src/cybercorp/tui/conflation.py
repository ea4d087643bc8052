"""Work for the newest wish only: while one is done, the newest next is remembered and all between are forgotten.

So a key that is held down, or a past that plays at 60×, asks the server for one thing after the other, never for two at
once, and each answer is drawn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

WishT = TypeVar("WishT")


class Newest(Generic[WishT]):
    """`wish` says what is wanted now; where it answers True, `run` must be started (as a worker of a screen)."""

    def __init__(self, work: Callable[[WishT], Awaitable[None]]) -> None:
        self._work = work
        self._next: WishT | None = None
        self._running = False

    @property
    def busy(self) -> bool:
        """Whether something that was wished is not done yet."""
        return self._running or self._next is not None

    def wish(self, wanted: WishT) -> bool:
        """Want this now. True where nobody is at work."""
        self._next = wanted
        return not self._running

    def forget(self) -> None:
        """Nothing is wanted any more; what runs may be cancelled."""
        self._next = None

    async def run(self) -> None:
        """Work until nothing is wanted."""
        if self._running:
            return
        self._running = True
        try:
            while self._next is not None:
                wanted, self._next = self._next, None
                await self._work(wanted)
        finally:
            self._running = False
