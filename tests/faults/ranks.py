"""The Mann–Whitney U test (1947), with the normal approximation and its correction for ties: needs twenty of each."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """The probability (two-sided) of such a difference where both come from the same distribution."""
    values = sorted((value, which) for which, values in enumerate((first, second)) for value in values)
    total, ranks, ties, at = len(values), 0.0, 0, 0
    while at < total:
        end = at
        while end < total and values[end][0] == values[at][0]:
            end += 1
        rank = (at + 1 + end) / 2  # the mean of the ranks at + 1 … end
        ranks += rank * sum(which == 0 for _, which in values[at:end])
        ties += (end - at) ** 3 - (end - at)
        at = end
    m, n = len(first), len(second)
    u = ranks - m * (m + 1) / 2
    spread = math.sqrt(m * n / 12 * (total + 1 - ties / (total * (total - 1))))
    if spread == 0:
        return 1.0
    z = max(0.0, abs(u - m * n / 2) - 0.5) / spread
    return math.erfc(z / math.sqrt(2))
