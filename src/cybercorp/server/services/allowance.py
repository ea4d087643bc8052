"""How much of something a host may have stored: a bucket that fills slowly, so that no host fills the disk."""

from __future__ import annotations


class Allowance:
    """`capacity` at once, and `per_second` after that. The clock is the monotonic one."""

    def __init__(self, capacity: float, per_second: float) -> None:
        self._capacity = capacity
        self._per_second = per_second
        self._left = capacity
        self._at = 0.0

    def take(self, now: float, amount: float = 1) -> bool:
        """Whether so much more is allowed."""
        self._left = min(self._capacity, self._left + max(0.0, now - self._at) * self._per_second)
        self._at = now
        if self._left < amount:
            return False
        self._left -= amount
        return True
