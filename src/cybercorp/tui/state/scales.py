"""Numbers in columns: one unit for a whole column, fixed precision, `–` for unknown."""

from __future__ import annotations

import math
from typing import NamedTuple

from cybercorp.core.units import UNKNOWN

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_COUNT_UNITS = ("", "k", "M", "G", "T")


class Scale(NamedTuple):
    """A unit and what a value is divided by to be written in it."""

    unit: str
    divisor: float
    decimals: int

    def text(self, value: float | None) -> str:
        """The number alone, without its unit."""
        if value is None or not math.isfinite(value):
            return UNKNOWN
        return f"{value / self.divisor:,.{self.decimals}f}"

    def full(self, value: float | None) -> str:
        """The number with its unit."""
        text = self.text(value)
        return text if text == UNKNOWN or not self.unit else f"{text} {self.unit}"


def byte_scale(top: float | None, *, per_second: bool = False, least: str = "B") -> Scale:
    """The binary unit in which `top`, the largest value of a column, has one to three digits before the point."""
    step = _BYTE_UNITS.index(least)
    top = top if top is not None and math.isfinite(top) else 0.0
    while step < len(_BYTE_UNITS) - 1 and top / 1024**step >= 1000:
        step += 1
    unit = _BYTE_UNITS[step] + ("/s" if per_second else "")
    return Scale(unit, 1024.0**step, 1 if step else 0)


def count_scale(top: float | None) -> Scale:
    """The decimal prefix in which `top` has one to three digits before the point."""
    step = 0
    top = top if top is not None and math.isfinite(top) else 0.0
    while step < len(_COUNT_UNITS) - 1 and top / 1000**step >= 1000:
        step += 1
    return Scale(_COUNT_UNITS[step], 1000.0**step, 1 if step else 0)


def percent(ratio: float | None, decimals: int = 0) -> str:
    """A ratio as `87%` with fixed precision."""
    if ratio is None or not math.isfinite(ratio):
        return UNKNOWN
    return f"{ratio * 100:.{decimals}f}%"
