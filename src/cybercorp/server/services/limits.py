"""How often somebody may do something: GCRA (the generic cell rate algorithm, ITU-T I.371), exact under concurrency.

A rule allows `amount` at once and refills evenly over `per_s`. It counts by keys: an account, a network, both. Nothing
is counted that is refused, so whoever is refused and waits comes in again.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Protocol

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import RateLimitedError

MAX_CELLS = 200_000


class Rule(msgspec.Struct, frozen=True):
    """`name` tells rules apart where they are counted, `what` says in words what is limited."""

    name: str
    amount: int
    per_s: float
    what: str

    @property
    def interval_s(self) -> float:
        return self.per_s / self.amount


class Cells(Protocol):
    """Where it is counted: in memory for one instance, in Redis for several."""

    async def take(self, key: str, interval_s: float, tolerance_s: float, cost: int) -> float:
        """0 where `cost` more are within the rule, which counts them; else the seconds until they would be."""
        ...

    async def clear(self, key: str) -> None:
        """Forget what was counted."""
        ...


class MemoryCells:
    """For one instance: a dictionary, on the monotonic clock. One event loop, so each call is atomic."""

    def __init__(self, clock: Clock, most: int = MAX_CELLS) -> None:
        self._clock = clock
        self._most = most
        self._arrivals: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._arrivals)

    async def take(self, key: str, interval_s: float, tolerance_s: float, cost: int) -> float:
        now = self._clock.monotonic()
        arrival = max(self._arrivals.get(key, now), now)
        wait = arrival + interval_s * cost - tolerance_s - now
        if wait > 1e-9:
            return wait
        if key not in self._arrivals and len(self._arrivals) >= self._most:
            self._make_room(now)
        self._arrivals[key] = arrival + interval_s * cost
        return 0.0

    async def clear(self, key: str) -> None:
        self._arrivals.pop(key, None)

    def _make_room(self, now: float) -> None:
        """Drop what is over; where nothing is, the tenth that would be over first."""
        self._arrivals = {key: arrival for key, arrival in self._arrivals.items() if arrival > now}
        if len(self._arrivals) >= self._most:
            for key in heapq.nsmallest(max(1, self._most // 10), self._arrivals, key=self._arrivals.__getitem__):
                del self._arrivals[key]


class Limiter:
    """`take` counts one of something, or raises RateLimitedError with the time to wait."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells

    async def take(self, rule: Rule, *keys: str, cost: int = 1) -> None:
        """Raises RateLimitedError (`rate_limited`); where it is counted elsewhere and that is gone, the same."""
        wait = await self._cells.take(_key(rule, keys), rule.interval_s, rule.per_s, cost)
        if wait > 0:
            raise RateLimitedError(
                f"Too many {rule.what}: at most {rule.amount} in {rule.per_s:g} s.",
                hint=f"Try again in {max(1, round(wait))} s.",
                retry_after_s=wait,
            )

    async def clear(self, rule: Rule, *keys: str) -> None:
        """Somebody proved that the counted ones were their own mistakes."""
        await self._cells.clear(_key(rule, keys))


def _key(rule: Rule, keys: Sequence[str]) -> str:
    return "\x1f".join((rule.name, *(key[:300] for key in keys)))
