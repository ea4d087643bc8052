"""Columns told by others: shorter where they follow, and always exact."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cybercorp.store.timeseries.encoding.columns import Scaled, decode_column, decode_scaled, encode_scaled
from cybercorp.store.timeseries.encoding.related_columns import (
    RELATED,
    decode_related,
    encode_related,
    find_relations,
    other_of,
)

LARGE = st.integers(-(1 << 53) + 1, (1 << 53) - 1)


def related(columns: list[Scaled]) -> dict[int, bytes]:
    """Relate and check that all come back; returns the bytes of those that are told."""
    relations = find_relations([column.integers for column in columns])
    told = {}
    for place, relation in relations.items():
        assert relation.other not in relations
        column, other = columns[place], columns[relation.other].integers
        data = told[place] = encode_related(column, relation, other, relation.other)
        assert (data[0], other_of(data)) == (RELATED, relation.other)
        alone = encode_scaled(column)
        rows = len(other)
        assert decode_scaled(alone, rows).tolist() == column.integers.tolist()
        assert decode_related(data, rows, other).tolist() == decode_column(alone, rows).tolist()
    return told


@given(
    st.lists(LARGE, min_size=3, max_size=60),
    st.integers(-5000, 5000).filter(bool),
    st.integers(1, 1 << 30),
    st.lists(st.integers(-3, 3), min_size=60, max_size=60),
)
@settings(max_examples=150)
def test_whatever_is_told_comes_back(numbers: list[int], multiplier: int, divisor: int, rest: list[int]) -> None:
    """Any factor, and a little noise on it."""
    one = np.array(numbers, dtype=np.int64)
    exact = [number * multiplier // divisor + noise for number, noise in zip(numbers, rest, strict=False)]
    if max(map(abs, exact)) < 1 << 53:
        related([Scaled(0, one), Scaled(1, np.array(exact, dtype=np.int64)), Scaled(0, -one)])


def test_chains_are_one_link_long() -> None:
    """Of four equal columns three are told by the same one."""
    column = np.random.default_rng(1).integers(0, 1 << 40, 500)
    told = related([Scaled(0, column.copy()) for _ in range(4)])
    assert len(told) == 3
    assert len({other_of(data) for data in told.values()}) == 1
    assert max(map(len, told.values())) < 12


def test_strangers_stay_alone() -> None:
    """Columns that have nothing to do with each other are left as they are; so are constant ones and short ones."""
    chance = np.random.default_rng(2)
    assert not related([Scaled(0, chance.integers(0, 1 << 40, 500)) for _ in range(5)])
    related([Scaled(0, np.array([1], dtype=np.int64)), Scaled(0, np.array([1], dtype=np.int64))])
    related([Scaled(0, np.array([1, 2], dtype=np.int64)), Scaled(0, np.array([1, 2], dtype=np.int64))])
    related([Scaled(0, np.zeros(9, dtype=np.int64)), Scaled(0, np.arange(9, dtype=np.int64))])
