"""The index of a host's chunks against a plain list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cybercorp.store.timeseries.encoding.chunks import SAMPLES
from cybercorp.store.timeseries.index import BUCKET_MS, ChunkIndex, bucket_of, period_start
from cybercorp.store.timeseries.storage.contract import ChunkEntry

BASE_MS = period_start(1, 1)


def _entry(number: int, start_ms: int, *, length_ms: int = 1000, catalogue: int = 1, rows: int = 60) -> ChunkEntry:
    bucket = bucket_of(1, start_ms)
    return ChunkEntry(
        number, 1, SAMPLES, catalogue, bucket, number, number, start_ms, start_ms + length_ms, rows, 100, start_ms
    )


@given(
    st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=40),
    st.integers(0, 50 * BUCKET_MS),
    st.integers(0, 10),
)
def test_the_index_equals_a_plain_list(steps: list[tuple[int, bool]], start_ms: int, length: int) -> None:
    """After any adding and removing: range, bounds and newest are those of a scan."""
    index = ChunkIndex(1)
    held: list[ChunkEntry] = []
    for number, (place, remove) in enumerate(steps, start=1):
        if remove and held:
            index.remove(held.pop(place % len(held)))
        else:
            held.append(_entry(number, place * BUCKET_MS))
            index.add(held[-1])
    end_ms = start_ms + length * BUCKET_MS
    expected = [one for one in held if one.start_ms < end_ms and one.end_ms >= start_ms]
    assert index.between(start_ms, end_ms) == expected
    assert sorted(index) == sorted(held)
    assert index.newest == max(held, key=lambda one: one.last, default=None)
    spans = [(one.start_ms, one.end_ms) for one in held]
    assert index.bounds() == ((min(s for s, _ in spans), max(e for _, e in spans)) if spans else None)


class TestRuns:
    def _runs(self, index: ChunkIndex, *, settled: int = 10, now_ms: int = 0) -> list[list[int]]:
        runs = index.runs(now_ms=now_ms, longest_values=1000, settled=settled, widths={1: 2, 2: 2})
        return [[one.id for one in run] for run in runs]

    def test_neighbours_of_a_finished_half_hour_are_merged(self) -> None:
        """The one that still grows is left alone until a chunk of another arrives."""
        index = ChunkIndex(1)
        for number in range(1, 4):
            index.add(_entry(number, BASE_MS + number * 60_000))
        assert self._runs(index) == []
        index.add(_entry(4, BASE_MS + 3 * BUCKET_MS))
        assert self._runs(index) == [[1, 2, 3]]

    def test_a_silent_host_is_merged_too(self) -> None:
        """Half an hour after the last chunk arrived nothing grows any more."""
        index = ChunkIndex(1)
        for number in range(1, 4):
            index.add(_entry(number, BASE_MS + number * 60_000))
        assert self._runs(index, now_ms=BASE_MS + 2 * BUCKET_MS) == [[1, 2, 3]]

    def test_many_chunks_are_merged_early(self) -> None:
        """A half hour of many small chunks does not wait for its end."""
        index = ChunkIndex(1)
        for number in range(1, 11):
            index.add(_entry(number, BASE_MS + number * 1000, rows=5))
        assert self._runs(index) == [list(range(1, 11))]

    def test_only_neighbours_in_arrival_become_one(self) -> None:
        """Another catalogue, or a chunk that was dropped in between, ends a run; so does the size."""
        index = ChunkIndex(1)
        for number, catalogue in [(1, 1), (2, 1), (3, 2), (4, 1), (5, 1), (7, 1), (8, 1)]:
            index.add(_entry(number, BASE_MS + number * 60_000, catalogue=catalogue))
        index.add(_entry(9, BASE_MS + 500_000, rows=450))
        index.add(_entry(20, BASE_MS + 9 * BUCKET_MS))
        assert self._runs(index) == [[1, 2], [4, 5], [7, 8]]


def test_half_hours_of_hosts_begin_at_other_times() -> None:
    """Merges of 1,000 hosts are spread over the half hour: no minute has more than a tenth of them."""
    ends = range(60_000, BUCKET_MS + 1, 60_000)
    starts = [next(t for t in ends if bucket_of(host, t) != bucket_of(host, 0)) for host in range(1, 200)]
    minutes = [start // 60_000 for start in starts]
    assert max(minutes.count(minute) for minute in set(minutes)) <= 20
