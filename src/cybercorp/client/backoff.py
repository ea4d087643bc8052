"""How long to wait before the next try: full jitter, so that a thousand clients cut at once do not return at once."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_S = 0.5
CAP_S = 30.0
_STEADY_S = 5.0


class Backoff:
    """Waits drawn evenly from 0 to a bound that doubles from `first_s` to `cap_s` with every failure.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    def __init__(
        self, first_s: float = FIRST_S, cap_s: float = CAP_S, draw: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._draw = draw
        self._failures = 0

    def succeeded(self) -> None:
        """The connection was of use: the next failure starts the series anew."""
        self._failures = 0

    def failed(self, *, lasted_s: float = 0.0, hopeless: bool = False) -> float:
        """Seconds to wait after a connection that `lasted_s`: one that held for 5 s starts the series anew.

        `hopeless` is for what no retry mends soon (a revoked token): between half the cap and the cap.
        """
        if hopeless:
            return self._draw(self._cap_s / 2, self._cap_s)
        if lasted_s >= _STEADY_S:
            self._failures = 0
        bound = min(self._cap_s, self._first_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return self._draw(0.0, bound)
