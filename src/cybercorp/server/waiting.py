"""Connections that have not sent a whole request yet, in the order in which they came, and how long they may take.

A connection enters when it is accepted, before anything of TLS or HTTP: silence costs its place in this row and nothing
else. Of those that wait so many are kept at once; then the oldest goes. TLS costs 60 KB a connection, so that of those
for which it has begun fewer are kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

HEAD_S = 10.0
MAX_WAITING = 2048
MAX_SECURED = 768


class Waiting:
    """Of one listener. What is kept for each is how it is closed; `head_s` is the time that each has."""

    def __init__(self) -> None:
        self.head_s = HEAD_S
        self._most, self._most_secured = MAX_WAITING, MAX_SECURED
        self._ends: dict[int, Callable[[], None]] = {}
        self._secured: dict[int, None] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._ends)

    def enter(self, end: Callable[[], None]) -> int:
        """One more, under the number that is returned; where it is one too many the oldest is ended."""
        number = next(self._numbers)
        self._ends[number] = end
        if len(self._ends) > self._most:
            self._end(next(iter(self._ends)))
        return number

    def secure(self, number: int) -> None:
        """TLS begins for this one; where it is one too many, the one for which it began first is ended."""
        self._secured[number] = None
        if len(self._secured) > self._most_secured:
            self._end(next(iter(self._secured)))

    def hand_on(self, number: int, end: Callable[[], None]) -> None:
        """Somebody else has the connection; its place in the row stays."""
        if number in self._ends:
            self._ends[number] = end

    def leave(self, number: int) -> None:
        """Its request is there, or it is gone."""
        self._ends.pop(number, None)
        self._secured.pop(number, None)

    def _end(self, number: int) -> None:
        end = self._ends.get(number)
        self.leave(number)
        if end is not None:
            end()
