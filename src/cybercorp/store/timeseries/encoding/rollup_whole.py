"""The aggregates of a series as whole numbers, each told by the others or by another series. Pure functions.

By itself: the maximum of an interval is told by the greater of the last value and the one before (of a counter it is
the last value), the minimum by the lesser, where that is shorter; a sum lies about halfway between minimum and maximum.
By another series (`related_columns`): used memory by free memory, written pages by written bytes. Arithmetic wraps
around modulo 2⁶⁴, here as there, so everything comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.store.timeseries.encoding.columns import SCALES, rows_scaled
from cybercorp.store.timeseries.encoding.integer_columns import decode_integers, encode_integers
from cybercorp.store.timeseries.encoding.related_columns import Relation, told_by
from cybercorp.store.timeseries.rows import Floats, Integers

NEAR_MAX, NEAR_MIN = 1, 2  # flags: the part is the distance from the greater, the lesser of two last values
_LARGEST_SUM = float(1 << 62)


class Whole(NamedTuple):
    """Integers [intervals]; the values are these divided by `SCALES[scale]`, but for the sum's last bit."""

    scale: int
    last: Integers
    high: Integers
    low: Integers
    sum: Integers


def whole_of(last: Floats, high: Floats, low: Floats, total: Floats) -> Whole | None:
    """The whole numbers with the first scale that makes some of all values; None where none does."""
    three = np.stack((last, high, low))
    for number, scale in enumerate(SCALES):
        if rows_scaled(three[0, :1], scale).all() and rows_scaled(three, scale).all():
            if not (np.abs(total) * scale < _LARGEST_SUM).all():
                return None
            ends, highs, lows = np.rint(three * scale).astype(np.int64)
            return Whole(number, ends, highs, lows, np.rint(total * scale).astype(np.int64))
    return None


def encode_alone(whole: Whole, counts: Integers) -> tuple[int, list[bytes]]:
    """Flags, and the parts: last, maximum, minimum, sum."""
    flags = 0
    parts = [encode_integers(whole.last)]
    before = _before(whole.last)
    for flag, values, near in (
        (NEAR_MAX, whole.high, np.maximum(before, whole.last)),
        (NEAR_MIN, whole.low, np.minimum(before, whole.last)),
    ):
        plain, distance = encode_integers(values), encode_integers(values - near)
        flags |= flag if len(distance) < len(plain) else 0
        parts.append(min(plain, distance, key=len))
    parts.append(encode_integers(whole.sum - _middle(counts, whole)))
    return flags, parts


def decode_alone(scale: int, flags: int, parts: Sequence[bytes], counts: Integers) -> Whole:
    """What `encode_alone` was given. Raises ValueError."""
    last, high, low, rest = (decode_integers(part, len(counts)) for part in parts)
    before = _before(last)
    if flags & NEAR_MAX:
        high += np.maximum(before, last)
    if flags & NEAR_MIN:
        low += np.minimum(before, last)
    whole = Whole(scale, last, high, low, rest)
    return whole._replace(sum=rest + _middle(counts, whole))


def encode_told(whole: Whole, counts: Integers, relation: Relation, other: Whole) -> list[bytes]:
    """The parts: what is left of last, maximum, minimum and sum when the other series has told them."""
    last, high, low, total = _told(relation, other)
    rest = whole.last - last
    left = (rest, whole.high - high - rest, whole.low - low - rest, whole.sum - total - counts * rest)
    return [encode_integers(one) for one in left]


def decode_told(scale: int, parts: Sequence[bytes], counts: Integers, relation: Relation, other: Whole) -> Whole:
    """What `encode_told` was given. Raises ValueError."""
    rest, high, low, total = (decode_integers(part, len(counts)) for part in parts)
    told = _told(relation, other)
    return Whole(scale, told[0] + rest, told[1] + high + rest, told[2] + low + rest, told[3] + total + counts * rest)


def _told(relation: Relation, other: Whole) -> tuple[Integers, Integers, Integers, Integers]:
    high, low = (other.high, other.low) if relation.multiplier > 0 else (other.low, other.high)
    return (
        told_by(other.last, relation),
        told_by(high, relation),
        told_by(low, relation),
        told_by(other.sum, relation),
    )


def _before(ends: Integers) -> Integers:
    return np.concatenate((ends[:1], ends[:-1]))


def _middle(counts: Integers, whole: Whole) -> Integers:
    """The sum of values that lie evenly between minimum and maximum."""
    middle: Integers = counts * (whole.low + whole.high) // 2
    return middle
