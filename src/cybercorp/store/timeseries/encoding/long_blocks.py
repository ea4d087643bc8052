"""The rows of one host for half an hour or more, column by column, each as small as it gets. Pure functions.

Of series that never change only the value is kept, all in one table; each of the others is a slice of its own, told by
another one where that is shorter (`related_columns`).

    table  one bit a series: does it change? then the number of values, the values, and for each constant series which
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cybercorp.store.timeseries.encoding.columns import (
    decode_column,
    decode_scaled,
    encode_column,
    encode_scaled,
    scale_column,
)
from cybercorp.store.timeseries.encoding.related_columns import (
    RELATED,
    decode_related,
    encode_related,
    find_relations,
    other_of,
)
from cybercorp.store.timeseries.rows import Floats, Integers

_NARROW = 256


def encode_columns(values: Floats) -> tuple[bytes, list[bytes]]:
    """`values` [rows, series] to the table of constants and the slices of the series that change, in their order."""
    columns = np.ascontiguousarray(values.T)
    bits = columns.view(np.uint64)
    is_constant = (bits == bits[:, :1]).all(axis=1)
    changing = np.flatnonzero(~is_constant).tolist()
    scaled = [scale_column(columns[number]) for number in changing]
    known = [(place, one) for place, one in enumerate(scaled) if one is not None]
    relations = find_relations([one.integers for _, one in known])
    packed = [b"" if one is not None else encode_column(columns[changing[place]]) for place, one in enumerate(scaled)]
    for number, (place, one) in enumerate(known):
        relation = relations.get(number)
        if relation is None:
            packed[place] = encode_scaled(one)
        else:
            name, other = known[relation.other]
            packed[place] = encode_related(one, relation, other.integers, name)
    return _table(is_constant, bits[:, 0]), packed


class ColumnsReader:
    """Decodes columns; `slice_of(place)` gives the bytes of the changing series at that place. Raises ValueError."""

    def __init__(self, table: bytes, rows: int, series: int, slice_of: Callable[[int], bytes]) -> None:
        flags = -(-series // 8)
        self._changes = np.unpackbits(np.frombuffer(table, dtype=np.uint8, count=flags), count=series)
        self._rows = rows
        self._table = table
        self._at = flags
        self._slice_of = slice_of
        self._integers: dict[int, Integers] = {}

    def column(self, number: int) -> Floats:
        """The values [rows] of one series."""
        if not self._changes[number]:
            return np.full(self._rows, self._constant(number))
        place = int(self._changes[:number].sum())
        data = self._slice_of(place)
        if data[0] == RELATED:
            return decode_related(data, self._rows, self._told_by(other_of(data)))
        return decode_column(data, self._rows)

    def _told_by(self, place: int) -> Integers:
        found = self._integers.get(place)
        if found is None:
            found = self._integers[place] = decode_scaled(self._slice_of(place), self._rows)
        return found

    def _constant(self, number: int) -> np.float64:
        count = int.from_bytes(self._table[self._at : self._at + 4], "little")
        values = np.frombuffer(self._table, dtype="<f8", count=count, offset=self._at + 4)
        kind = "<u1" if count <= _NARROW else "<u4"
        which = np.frombuffer(self._table, dtype=kind, offset=self._at + 4 + 8 * count)
        found: np.float64 = values[which[number - int(self._changes[:number].sum())]]
        return found


def _table(is_constant: NDArray[np.bool_], bits: NDArray[np.uint64]) -> bytes:
    values, which = np.unique(bits[is_constant], return_inverse=True)
    kind = "<u1" if len(values) <= _NARROW else "<u4"
    parts = (np.packbits(~is_constant).tobytes(), len(values).to_bytes(4, "little"), values.astype("<u8").tobytes())
    return b"".join((*parts, which.astype(kind).tobytes()))
