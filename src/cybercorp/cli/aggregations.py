"""How a person writes an aggregation: `avg`, `rate`, `p95`."""

from __future__ import annotations

import re

from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.metrics import Aggregation, Grouping

_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")


def parse_aggregation(text: str | None) -> tuple[Aggregation | None, float | None]:
    """`p95` is the quantile 0.95; the others are as they are called. Raises InvalidInputError."""
    if text is None:
        return None, None
    percentile = _QUANTILE.fullmatch(text.strip().lower())
    if percentile:
        return Aggregation.QUANTILE, float(percentile.group(1)) / 100
    try:
        found = Aggregation(text.strip().lower())
    except ValueError:
        found = Aggregation.QUANTILE
    if found is Aggregation.QUANTILE:
        raise InvalidInputError(
            f"'{text[:40]}' is no aggregation.",
            hint="Use avg, min, max, sum, last, count, rate, increase, or p50, p95, p99.",
        )
    return found, None


def parse_grouping(text: str | None) -> tuple[Grouping | None, float | None]:
    """How series are joined: `avg`, `sum`, `min`, `max`, `count`, or the quantile `p95`. Raises InvalidInputError."""
    if text is None:
        return None, None
    percentile = _QUANTILE.fullmatch(text.strip().lower())
    if percentile:
        return Grouping.QUANTILE, float(percentile.group(1)) / 100
    try:
        found = Grouping(text.strip().lower())
    except ValueError:
        found = Grouping.QUANTILE
    if found is Grouping.QUANTILE:
        raise InvalidInputError(
            f"Series cannot be joined by '{text[:40]}'.", hint="Use avg, sum, min, max, count, p95."
        )
    return found, None
