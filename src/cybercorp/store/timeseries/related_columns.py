"""Columns that follow from others of their chunk: received bytes that were sent, free memory and used, pages and bytes.

A column of integers may be stored as what is left when a multiple or a fraction of another column is taken away:
`integers = (other · multiplier + divisor // 2) // divisor + rest`, in arithmetic modulo 2⁶⁴, so always exactly. The
other one stands for itself, so that a reader of one series reads two slices at most. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.store.timeseries.columns import SCALES, Scaled
from cybercorp.store.timeseries.integer_columns import (
    LEVEL,
    decode_integers,
    encode_integers,
    read_varint,
    unzigzag,
    write_varint,
    zigzag,
)
from cybercorp.store.timeseries.rows import Floats, Integers

RELATED = 16  # the form; those below are of `columns`

_ALIKE = 0.3  # correlation of differences below which nothing was ever gained
_GAIN = 0.95
_MAX_TRIES = 96
_SNAP = 0.2  # a factor so near to a power of two is one: pages, sectors, KiB
_LARGEST_FACTOR = float(1 << 52)
_MAX_MULTIPLIER = 1 << 12


class Relation(NamedTuple):
    """What a column is told by: number `other` of the columns, times `multiplier` by `divisor`."""

    other: int
    multiplier: int
    divisor: int


def relate(columns: Sequence[Scaled], packed: Sequence[bytes], names: Sequence[int]) -> list[bytes]:
    """The bytes of each column: `packed` (what it takes by itself), or less. `names` tell one where to find another."""
    found = list(packed)
    if len(columns) < 2 or len(columns[0].integers) < 3:
        return found
    told: set[int] = set()
    tells: set[int] = set()
    tries = _MAX_TRIES
    for place, relation in _candidates([column.integers for column in columns]):
        if place in told or place in tells or relation.other in told:
            continue
        if not tries:
            break
        tries -= 1
        made = _encode(columns[place], columns[relation.other].integers, relation, names[relation.other])
        if len(made) < _GAIN * len(packed[place]):
            found[place] = made
            told.add(place)
            tells.add(relation.other)
    return found


def other_of(data: bytes) -> int:
    """The name of the column that tells this one, whose form is RELATED."""
    return read_varint(data, 2)[0]


def decode_related(data: bytes, rows: int, other: Integers) -> Floats:
    """The values [rows], with the integers of the other column. Raises ValueError."""
    _, at = read_varint(data, 2)
    multiplier, at = read_varint(data, at)
    divisor, at = read_varint(data, at)
    relation = Relation(0, unzigzag(multiplier), divisor)
    integers = decode_integers(data[at:], rows)
    integers += _told(other, relation)
    return integers / SCALES[data[1]]


def _encode(column: Scaled, other: Integers, relation: Relation, name: int) -> bytes:
    head = bytes((RELATED, column.scale)) + write_varint(name)
    head += write_varint(zigzag(relation.multiplier)) + write_varint(relation.divisor)
    return head + encode_integers(column.integers - _told(other, relation), LEVEL)


def _told(other: Integers, relation: Relation) -> Integers:
    if relation.divisor == 1:
        return other * relation.multiplier
    found: Integers = (other * relation.multiplier + relation.divisor // 2) // relation.divisor
    return found


def _candidates(columns: Sequence[Integers]) -> Iterator[tuple[int, Relation]]:
    """Columns and what may tell them, the most alike first."""
    numbers = np.stack(columns).astype(np.float32)
    numbers -= numbers[:, :1]
    steps = numbers[:, 1:] - numbers[:, :-1]
    steps -= steps.mean(axis=1, keepdims=True)
    size = np.sqrt(np.einsum("ij,ij->i", steps, steps))
    size[size == 0] = np.inf
    steps /= size[:, None]
    likeness = steps @ steps.T
    np.fill_diagonal(likeness, 0.0)
    places = np.argwhere(np.abs(likeness) > _ALIKE)
    order = np.argsort(-np.abs(likeness[places[:, 0], places[:, 1]]), kind="stable")
    for place, other in places[order].tolist():
        slope = float(likeness[place, other] * size[place] / size[other])
        if not 1 / _LARGEST_FACTOR < abs(slope) < _MAX_MULTIPLIER:
            continue
        sign = 1 if slope > 0 else -1
        if abs(slope) >= 1:
            yield place, Relation(other, sign * _snapped(abs(slope)), 1)
        else:
            yield place, Relation(other, sign, _snapped(1 / abs(slope)))


def _snapped(factor: float) -> int:
    power = 1 << round(float(np.log2(factor)))
    return power if abs(power - factor) < _SNAP * factor else round(factor)
