"""Connections that have not sent a whole request yet, in the order in which they came, and how long they may take.

A connection enters when it is accepted, before anything of TLS or HTTP: silence costs its place in this row and
nothing else. Of those that wait so many are kept at once; then the oldest goes. TLS costs work and 60 KB a connection:
those for which it has begun have a row of their own. There the oldest makes room only after a while in which an honest
client would have answered; until then the newcomer is turned away, before any work, and comes back by its backoff.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

HEAD_S = 10.0
MAX_WAITING = 2048
MAX_SECURED = 768
ANSWERED_S = 1.0


class Waiting:
    """Of one listener. What is kept for each is how it is closed; `head_s` is the time that each has."""

    def __init__(self) -> None:
        self.head_s = HEAD_S
        self._most, self._most_secured = MAX_WAITING, MAX_SECURED
        self._silent: dict[int, Callable[[], None]] = {}
        self._secured: dict[int, tuple[float, Callable[[], None]]] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._silent) + len(self._secured)

    def enter(self, end: Callable[[], None]) -> int:
        """One more, under the number that is returned; where it is one too many the oldest is ended."""
        number = next(self._numbers)
        self._silent[number] = end
        if len(self._silent) > self._most:
            self._silent.pop(next(iter(self._silent)))()
        return number

    def secure(self, number: int, now: float) -> bool:
        """TLS begins for this one, at `now` on a monotonic clock; False where it must not, and is to be ended."""
        end = self._silent.pop(number, None)
        if end is None:
            return False
        if len(self._secured) >= self._most_secured:
            oldest = next(iter(self._secured))
            began, end_oldest = self._secured[oldest]
            if now - began < ANSWERED_S:
                return False
            del self._secured[oldest]
            end_oldest()
        self._secured[number] = now, end
        return True

    def hand_on(self, number: int, end: Callable[[], None]) -> None:
        """Somebody else has the connection; its place in the row stays."""
        if number in self._secured:
            self._secured[number] = self._secured[number][0], end

    def leave(self, number: int) -> None:
        """Its request is there, or it is gone."""
        self._silent.pop(number, None)
        self._secured.pop(number, None)
