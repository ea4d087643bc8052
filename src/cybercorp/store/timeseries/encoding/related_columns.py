"""Columns that follow from others of their chunk: received bytes that were sent, free memory and used, pages and bytes.

A column of integers may be stored as what is left when a multiple or a fraction of another column is taken away:
`integers = (other · multiplier + divisor // 2) // divisor + rest`, in arithmetic modulo 2⁶⁴, so always exactly. The
other one stands for itself, so that a reader of one series reads two slices at most. Pure functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.store.timeseries.encoding.columns import SCALES, Scaled
from cybercorp.store.timeseries.encoding.integer_columns import (
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
GAIN = 0.9  # of the estimated bits: a reader of a told column reads two, which must be worth it
_MAX_COLUMNS = 256
_BEST = 4  # of the columns that are alike so many are looked at
_STRETCHES, _STRETCH = 8, 32
_SNAP = 0.2  # a factor so near to a power of two is one: pages, sectors, KiB
_LARGEST_FACTOR = float(1 << 52)
_MAX_MULTIPLIER = 1 << 12
# OpenBLAS starts threads for larger products, which then wait actively: several times the processor time.
_PRODUCT = 200_000


class Relation(NamedTuple):
    """What a column is told by: number `other` of the columns, times `multiplier` by `divisor`."""

    other: int
    multiplier: int
    divisor: int


def find_relations(columns: Sequence[Integers], gain: float = GAIN) -> dict[int, Relation]:
    """Which columns [rows] are shorter when told by another one, which is told by none itself.

    `gain` is the share of the bits that may be left at most. Judged by the size of the numbers that are left in some of
    the rows, without encoding any: that finds the same relations in a tenth of the time.
    """
    if len(columns) < 2 or len(columns[0]) < 3:
        return {}
    matrix = np.stack(columns[:_MAX_COLUMNS])
    places, others, multipliers, divisors = _candidates(matrix)
    sampled = _sampled(matrix)
    rest = sampled[places] - (sampled[others] * multipliers[:, None] + divisors[:, None] // 2) // divisors[:, None]
    gains = _costs(rest) / np.maximum(_costs(sampled), 1.0)[places]
    found: dict[int, Relation] = {}
    tells: set[int] = set()
    for number in np.argsort(gains, kind="stable").tolist():
        place, other = int(places[number]), int(others[number])
        if gains[number] > gain:
            break
        if place not in found and place not in tells and other not in found:
            found[place] = Relation(other, int(multipliers[number]), int(divisors[number]))
            tells.add(other)
    return found


def encode_related(column: Scaled, relation: Relation, other: Integers, name: int) -> bytes:
    """A column told by `other`, which a reader finds by its `name`."""
    head = bytes((RELATED, column.scale)) + write_relation(relation._replace(other=name))
    return head + encode_integers(column.integers - told_by(other, relation), LEVEL)


def other_of(data: bytes) -> int:
    """The name of the column that tells this one, whose form is RELATED."""
    return read_varint(data, 2)[0]


def decode_related(data: bytes, rows: int, other: Integers) -> Floats:
    """The values [rows], with the integers of the other column. Raises ValueError."""
    relation, at = read_relation(data, 2)
    integers = decode_integers(data[at:], rows)
    integers += told_by(other, relation)
    return integers / SCALES[data[1]]


def write_relation(relation: Relation) -> bytes:
    """Three varints."""
    numbers = (relation.other, zigzag(relation.multiplier), relation.divisor)
    return b"".join(write_varint(number) for number in numbers)


def read_relation(data: bytes, at: int) -> tuple[Relation, int]:
    """The relation at `at` and where it ends. Raises ValueError."""
    other, at = read_varint(data, at)
    multiplier, at = read_varint(data, at)
    divisor, at = read_varint(data, at)
    if not divisor:
        raise ValueError("a relation divides by zero")
    return Relation(other, unzigzag(multiplier), divisor), at


def told_by(other: Integers, relation: Relation) -> Integers:
    """What a relation makes of the other column."""
    if relation.divisor == 1:
        return other * relation.multiplier
    found: Integers = (other * relation.multiplier + relation.divisor // 2) // relation.divisor
    return found


def _sampled(matrix: Integers) -> Integers:
    """Some stretches of neighbouring rows of each column: [columns, rows]."""
    rows = matrix.shape[1]
    if rows <= _STRETCHES * _STRETCH:
        return matrix
    starts = np.linspace(0, rows - _STRETCH, _STRETCHES).astype(np.intp)
    found: Integers = matrix[:, (starts[:, None] + np.arange(_STRETCH)).ravel()]
    return found


def _costs(columns: Integers) -> Floats:
    """About the bits of a column's values: of themselves or of their differences, whichever are fewer."""
    numbers = (columns - columns[:, :1]).astype(np.float32)
    steps = np.log1p(np.abs(numbers[:, 1:] - numbers[:, :-1])).sum(axis=1)
    numbers -= numbers.mean(axis=1, keepdims=True)
    found: Floats = np.minimum(steps, np.log1p(np.abs(numbers)).sum(axis=1)).astype(np.float64)
    return found


def _candidates(matrix: Integers) -> tuple[Integers, Integers, Integers, Integers]:
    """Columns, what may tell them, and by which multiplier and divisor."""
    numbers = (matrix - matrix[:, :1]).astype(np.float32)
    steps = numbers[:, 1:] - numbers[:, :-1]
    steps -= steps.mean(axis=1, keepdims=True)
    size = np.sqrt(np.einsum("ij,ij->i", steps, steps)).astype(np.float64)
    size[size == 0] = np.inf
    steps /= size.astype(np.float32)[:, None]
    likeness = np.zeros((len(steps), len(steps)), dtype=np.float32)
    stride = max(1, _PRODUCT // len(steps) ** 2)
    for at in range(0, steps.shape[1], stride):
        part = steps[:, at : at + stride]
        likeness += part @ part.T
    np.fill_diagonal(likeness, 0.0)
    alike = np.abs(likeness)
    if len(alike) > _BEST:
        alike[alike < np.partition(alike, -_BEST, axis=1)[:, -_BEST, None]] = 0.0
    places, others = np.nonzero(alike > _ALIKE)
    slopes = likeness[places, others] * size[places] / size[others]
    usable = (np.abs(slopes) > 1 / _LARGEST_FACTOR) & (np.abs(slopes) < _MAX_MULTIPLIER)
    places, others, slopes = places[usable], others[usable], slopes[usable]
    factors = np.maximum(np.abs(slopes), 1 / np.abs(slopes))
    powers = np.exp2(np.rint(np.log2(factors)))
    snapped = np.where(np.abs(powers - factors) < _SNAP * factors, powers, np.rint(factors)).astype(np.int64)
    times = np.abs(slopes) >= 1
    signs = np.sign(slopes).astype(np.int64)
    return places, others, np.where(times, snapped * signs, signs), np.where(times, 1, snapped)
