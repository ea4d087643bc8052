"""Columns of numbers: every bit comes back, and what looks like integers or decimals is small."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cybercorp.store.timeseries.encoding.columns import SCALES, decode_column, encode_column, rows_scaled, scale_column
from cybercorp.store.timeseries.encoding.integer_columns import (
    decode_integers,
    encode_integers,
    read_varint,
    unzigzag,
    write_varint,
    zigzag,
)

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
EDGES = (0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, -5e-324, 2.0**53, 2.0**53 + 2, -(2.0**63), 1.7e308, 0.1, 1 / 3)


def bits_of(values: np.ndarray) -> list[int]:
    found: list[int] = values.view(np.uint64).tolist()
    return found


def assert_same(values: np.ndarray) -> int:
    """Encode and decode; returns how many bytes it took."""
    data = encode_column(values)
    assert bits_of(decode_column(data, len(values))) == bits_of(values)
    return len(data)


class TestColumns:
    @given(arrays.arrays(np.uint64, st.integers(1, 300), elements=st.integers(0, (1 << 64) - 1)))
    @settings(max_examples=60)
    def test_every_bit_pattern_comes_back(self, bits: np.ndarray) -> None:
        """NaN payloads, subnormals, infinities: whatever 64 bits a value has, it has them again."""
        assert_same(bits.view(np.float64))

    @given(
        st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=200),
        st.sampled_from(SCALES),
        st.lists(st.tuples(st.integers(0, 199), st.sampled_from(EDGES)), max_size=14),
    )
    @settings(max_examples=150)
    def test_scaled_integers_with_odd_values_among_them_come_back(
        self, integers: list[int], scale: float, odd: list[tuple[int, float]]
    ) -> None:
        """Integers and decimals, with −0.0, NaN or an infinity in some rows, come back bit by bit."""
        values = np.array(integers, dtype=np.float64) / scale
        for place, value in odd:
            values[place % len(values)] = value
        assert_same(values)

    def test_a_constant_column_is_nine_bytes(self) -> None:
        """A value that never changes is stored once, be it a NaN with a payload."""
        payload = np.array([0x7FF8_0000_0000_BEEF], dtype=np.uint64).view(np.float64)
        assert assert_same(np.repeat(payload, 1800)) == 9

    def test_percentages_of_one_digit_are_stored_as_integers(self) -> None:
        """Decimals cost what their digits cost, not what 64 bits of a fraction cost."""
        values = np.random.default_rng(1).integers(0, 16, 1800) / 10
        assert assert_same(values) < 1800 // 2 + 60

    def test_a_missing_value_does_not_make_a_column_dear(self) -> None:
        """A few NaN among integers are stored apart."""
        values = np.cumsum(np.random.default_rng(2).integers(0, 9, 1800)).astype(np.float64)
        whole = assert_same(values)
        values[[5, 900]] = np.nan
        assert assert_same(values) < whole + 60

    def test_noise_takes_no_more_than_its_bits(self) -> None:
        """What cannot be compressed is stored as it is."""
        values = np.random.default_rng(3).integers(0, 1 << 64, 500, dtype=np.uint64).view(np.float64)
        assert assert_same(values) <= 4001

    def test_minus_zero_is_no_integer(self) -> None:
        """−0.0 is told from 0.0, and numbers from 2⁵³ on are not taken for integers."""
        assert rows_scaled(np.array([0.0, -0.0, 2.0**53 - 1, 2.0**53, np.nan]), 1.0).tolist() == [
            True,
            False,
            True,
            False,
            False,
        ]
        assert scale_column(np.array([1.0, -0.0])) is None

    def test_an_unknown_form_is_refused(self) -> None:
        """Bytes that no version wrote raise ValueError."""
        with pytest.raises(ValueError, match="form"):
            decode_column(b"\xff123", 4)


class TestIntegers:
    @given(st.lists(INT64, min_size=1, max_size=120))
    @settings(max_examples=150)
    def test_any_integers_come_back(self, numbers: list[int]) -> None:
        """Even where their differences do not fit into 64 bits."""
        values = np.array(numbers, dtype=np.int64)
        assert decode_integers(encode_integers(values), len(values)).tolist() == numbers

    @given(st.lists(st.integers(-(1 << 31), 1 << 31), min_size=2, max_size=60), st.integers(1, 1 << 32), INT64)
    @settings(max_examples=100)
    def test_multiples_come_back(self, numbers: list[int], unit: int, start: int) -> None:
        """Numbers with a common unit, from anywhere, wrapping around as int64 does."""
        with np.errstate(over="ignore"):
            values = np.array(numbers, dtype=np.int64) * np.int64(unit) + np.int64(start)
        assert decode_integers(encode_integers(values), len(values)).tolist() == values.tolist()

    def test_regular_timestamps_take_a_few_bytes(self) -> None:
        """A timestamp every second is a start and a step."""
        values = 1_790_000_000_000 + np.arange(1800, dtype=np.int64) * 1000
        data = encode_integers(values)
        assert len(data) < 12
        assert decode_integers(data, 1800).tolist() == values.tolist()

    def test_damaged_bytes_raise_or_decode(self) -> None:
        """Damaged bytes raise ValueError if they cannot be decoded at all; nothing else is raised."""
        data = encode_integers(np.random.default_rng(4).integers(0, 1000, 300))
        for bit in range(0, 8 * len(data), 7):
            broken = bytearray(data)
            broken[bit // 8] ^= 1 << bit % 8
            try:
                decode_integers(bytes(broken), 300)
            except ValueError:
                continue


@given(st.integers(0, (1 << 64) - 1))
def test_varints_come_back(number: int) -> None:
    """A number and where it ends."""
    data = write_varint(number)
    assert read_varint(data + b"x", 0) == (number, len(data))
    with pytest.raises(ValueError, match="short"):
        read_varint(data[:-1], 0)


@given(INT64)
def test_zigzag_comes_back(number: int) -> None:
    """Small negative numbers become small ones."""
    assert unzigzag(zigzag(number)) == number
    assert zigzag(-1) == 1
