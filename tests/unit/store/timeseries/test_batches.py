"""The format of a log entry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.store.timeseries.batches import DamagedBatchError, LogRow, pack_batch, unpack_batch

NUMBERS = st.integers(-(2**62), 2**62)
ROWS = st.lists(
    st.builds(
        LogRow,
        host=st.integers(1, 3),
        stream=st.text(max_size=5),
        seq=NUMBERS,
        timestamp_ms=NUMBERS,
        received_ms=NUMBERS,
        catalogue=st.integers(-1, 2**31),
        body=st.binary(max_size=40),
    ),
    min_size=1,
    max_size=30,
)


@given(ROWS)
def test_rows_come_back_as_they_went_in(rows: list[LogRow]) -> None:
    """Every field of every row, in order."""
    assert unpack_batch(7, pack_batch(7, rows)) == rows


@given(ROWS, st.data())
def test_a_changed_or_cut_entry_is_refused(rows: list[LogRow], data: st.DataObject) -> None:
    """One flipped bit or one missing byte is noticed."""
    packed = bytearray(pack_batch(7, rows))
    place = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(DamagedBatchError):
        unpack_batch(7, bytes(packed[:place]))
    with pytest.raises(DamagedBatchError):
        unpack_batch(8, bytes(packed))
    packed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DamagedBatchError):
        unpack_batch(7, bytes(packed))
