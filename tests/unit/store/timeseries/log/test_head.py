"""A host's unsealed rows: packed, in the log only, as they came; taken from the front, looked at as a whole."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.store.timeseries.log.head import Head, HeadRow, Logged, Packed, bytes_of, pack, rows_of

NUMBER = st.integers(-(2**62), 2**62)
ROW = st.builds(
    HeadRow,
    batch=st.integers(1, 50),
    timestamp_ms=NUMBER,
    received_ms=NUMBER,
    catalogue=st.integers(0, 5),
    body=st.binary(max_size=64),
)
ROWS = st.lists(ROW, min_size=1, max_size=40).map(lambda rows: sorted(rows, key=lambda row: row.batch))


def logged(rows: list[HeadRow]) -> Logged:
    """The rows as they are known after a start."""
    columns = [[row.batch for row in rows], list(range(len(rows)))]
    columns += [[row.timestamp_ms for row in rows], [row.catalogue for row in rows]]
    entries, places, times, catalogues = (np.array(one, dtype=np.int64) for one in columns)
    return Logged(entries, places, times, catalogues)


@given(ROWS)
def test_packed_rows_come_back_as_they_were(rows: list[HeadRow]) -> None:
    """Every field, bit by bit, in order of arrival; and what is told without unpacking is true."""
    part = pack(rows)
    assert part.unpack() == rows
    assert (part.rows, part.first, part.last) == (len(rows), rows[0].batch, rows[-1].batch)
    times = [row.timestamp_ms for row in rows]
    assert (part.start_ms, part.end_ms) == (min(times), max(times))
    assert set(part.catalogues) == {row.catalogue for row in rows}
    assert part.values == sum(len(row.body) for row in rows if row.catalogue) // 8 or any(
        len(row.body) % 8 for row in rows
    )


@given(ROWS, st.lists(st.integers(0, 39), max_size=3), st.data())
def test_rows_are_taken_from_the_front(rows: list[HeadRow], cuts: list[int], data: st.DataObject) -> None:
    """However the head was packed meanwhile, forgetting n rows leaves exactly the others, and the bytes add up."""
    head, size = Head(), 0
    for place, row in enumerate(rows):
        head.tail.append(row)
        size += bytes_of([row])
        if place in cuts:
            size += head.swap(list(head.tail), pack(head.tail))
    assert len(head) == head.ready == len(rows)
    assert rows_of(*head.take()) == rows
    assert head.first_batch == rows[0].batch
    times = [row.timestamp_ms for row in rows]
    assert head.bounds() == (min(times), max(times))
    assert head.catalogues() == {row.catalogue for row in rows}
    count = data.draw(st.integers(0, len(rows)))
    size -= head.forget(count)
    assert rows_of(*head.take()) == rows[count:]
    assert bool(head) is (count < len(rows))
    packed = sum(part.size_bytes for part in head.parts if isinstance(part, Packed))
    assert size == packed + bytes_of(head.tail)
    assert size == head.forget_all()


@given(ROWS, st.integers(0, 39))
def test_rows_that_were_sealed_meanwhile_are_not_packed_again(rows: list[HeadRow], gone: int) -> None:
    """Packing happens beside the sealer: what it made is dropped when the tail has lost rows since."""
    head = Head()
    head.tail = list(rows)
    tail, part = list(head.tail), pack(head.tail)
    head.forget(min(gone, len(rows)))
    changed = head.swap(tail, part)
    assert rows_of(*head.take()) == rows[gone:]
    assert bool(changed) is (gone == 0) or changed == 0


@given(ROWS, st.integers(0, 51), ROWS)
def test_rows_in_the_log_only_come_first_and_are_not_ready(
    rows: list[HeadRow], up_to: int, newer: list[HeadRow]
) -> None:
    """Until they are thawed nothing is ready; then what was thawed is, and not what came after the rest."""
    head = Head()
    half = len(rows) // 2
    head.parts = [logged(part) for part in (rows[:half], rows[half:]) if part]
    head.tail.extend(newer)
    assert (head.is_logged, head.ready, len(head)) == (True, 0, len(rows) + len(newer))
    assert head.first_batch == rows[0].batch
    thawed = [row for row in rows if row.batch <= up_to]
    assert head.thaw(up_to, pack(thawed) if thawed else None) == head.packed_bytes
    rest = [row for row in rows if row.batch > up_to]
    assert len(head) == len(rows) + len(newer)
    assert rows_of(*head.take()) == (thawed if rest else thawed + newer)
    assert head.is_logged is bool(rest)


@given(ROWS, st.one_of(st.none(), NUMBER), st.integers(0, 3))
def test_the_catalogue_of_an_instant(rows: list[HeadRow], at_ms: int | None, how: int) -> None:
    """That of the newest samples at or before it, of equal times the later; wherever the rows are."""
    head = Head()
    cut = len(rows) * how // 3
    head.tail = list(rows[:cut])
    if head.tail:
        head.swap(list(head.tail), pack(head.tail))
    if how == 2 and cut:
        head.parts = [logged(rows[:cut])]
    head.tail = list(rows[cut:])
    samples = [row for row in rows if row.catalogue]
    if at_ms is not None:
        samples = [row for row in samples if row.timestamp_ms <= at_ms]
        expected = max(reversed(samples), key=lambda row: row.timestamp_ms, default=None)
    else:
        expected = samples[-1] if samples else None
    found = head.catalogue_at(at_ms)
    assert found == ((expected.timestamp_ms, expected.catalogue) if expected else None)
