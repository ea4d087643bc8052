"""The index of one host's chunks in memory, so that opening and querying touch no body that is not needed."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

from cybercorp.store.timeseries.storage.contract import ChunkEntry

BUCKET_MS = 30 * 60_000
PERIOD_BUCKETS = 8
PERIOD_MS = PERIOD_BUCKETS * BUCKET_MS
MINUTE_MS = 60_000


def bucket_of(host: int, timestamp_ms: int) -> int:
    """The half hour that a row belongs to. Each host's begin at another minute, lest all merge at once."""
    return (timestamp_ms + _offset_ms(host)) // BUCKET_MS


def period_of(host: int, timestamp_ms: int) -> int:
    """The four hours that a row belongs to: so long are merged chunks and the stretches that are rolled up."""
    return (timestamp_ms + _offset_ms(host)) // PERIOD_MS


def period_start(host: int, period: int) -> int:
    """When a period begins, in milliseconds; always a whole minute."""
    return period * PERIOD_MS - _offset_ms(host)


def phase_of(host: int) -> float:
    """A number in [0, 1) for each host, evenly spread (Knuth's multiplicative hash)."""
    return host * 2_654_435_761 % 4_294_967_296 / 4_294_967_296


def _offset_ms(host: int) -> int:
    minutes = int(phase_of(host) * (BUCKET_MS // MINUTE_MS))
    return minutes * MINUTE_MS + host % PERIOD_BUCKETS * BUCKET_MS


class ChunkIndex:
    """The chunks of one host and one kind. A chunk never reaches over its period.

    `unsettled` holds the periods that got a chunk since they were last looked at, and when its rows were received.
    """

    def __init__(self, host: int) -> None:
        self._host = host
        self._buckets: dict[int, list[ChunkEntry]] = {}
        self._order: list[int] = []
        self._divided: set[int] = set()
        self.unsettled: dict[int, int] = {}
        self.next_block = 1
        self.newest: ChunkEntry | None = None  # the one that arrived last

    def __iter__(self) -> Iterator[ChunkEntry]:
        for bucket in self._order:
            yield from self._buckets[bucket]

    def __bool__(self) -> bool:
        return bool(self._order)

    @property
    def is_divided(self) -> bool:
        """Whether a half hour holds more than one chunk."""
        return bool(self._divided)

    def add(self, entry: ChunkEntry) -> None:
        bucket = bucket_of(self._host, entry.start_ms)
        held = self._buckets.get(bucket)
        if held is None:
            self._buckets[bucket] = [entry]
            insort(self._order, bucket)
        else:
            insort(held, entry, key=lambda one: one.first)
            self._divided.add(bucket)
        period = bucket // PERIOD_BUCKETS
        self.unsettled[period] = max(entry.received_ms, self.unsettled.get(period, 0))
        self.next_block = max(self.next_block, entry.last + 1)
        if self.newest is None or entry.last >= self.newest.last:
            self.newest = entry

    def remove(self, entry: ChunkEntry) -> None:
        bucket = bucket_of(self._host, entry.start_ms)
        held = self._buckets[bucket]
        held.remove(entry)
        if len(held) < 2:
            self._divided.discard(bucket)
        if not held:
            del self._buckets[bucket]
            del self._order[bisect_left(self._order, bucket)]
        if entry is self.newest or entry == self.newest:
            self.newest = max((one[-1] for one in self._buckets.values()), key=lambda one: one.last, default=None)

    def between(self, start_ms: int, end_ms: int) -> list[ChunkEntry]:
        """The chunks that touch `[start_ms, end_ms)`, in order of arrival."""
        first = bucket_of(self._host, start_ms) // PERIOD_BUCKETS * PERIOD_BUCKETS
        low = bisect_left(self._order, first - 1)  # a chunk of an older version may reach a little over its half hour
        high = bisect_left(self._order, bucket_of(self._host, end_ms) + 1)
        found = [
            entry
            for bucket in self._order[low:high]
            for entry in self._buckets[bucket]
            if entry.start_ms < end_ms and entry.end_ms >= start_ms
        ]
        found.sort(key=lambda entry: entry.first)
        return found

    def of_period(self, period: int) -> list[ChunkEntry]:
        """The chunks that have rows of a period, in order of arrival."""
        start = period_start(self._host, period)
        return self.between(start, start + PERIOD_MS)

    def bounds(self) -> tuple[int, int] | None:
        if not self._order:
            return None
        # A long chunk stands in its first bucket and may end later than those of the last one, but in its period.
        period = self._order[-1] // PERIOD_BUCKETS * PERIOD_BUCKETS
        newest = self._order[bisect_left(self._order, period) :]
        return (
            min(entry.start_ms for entry in self._buckets[self._order[0]]),
            max(entry.end_ms for bucket in newest for entry in self._buckets[bucket]),
        )

    def runs(self, *, now_ms: int, longest_values: int, settled: int, widths: dict[int, int]) -> list[list[ChunkEntry]]:
        """Neighbours in arrival, of one bucket and catalogue, that may become one chunk of ≤ `longest_values` values.

        A bucket that still grows is left alone until it holds `settled` chunks. `widths` counts a catalogue's series.
        """
        newest = self.newest
        growing = bucket_of(self._host, newest.start_ms) if newest and newest.received_ms > now_ms - BUCKET_MS else None
        found: list[list[ChunkEntry]] = []
        for bucket in sorted(self._divided):
            held = self._buckets[bucket]
            if bucket != growing or len(held) >= settled:
                found.extend(runs_of(held, longest_values, widths))
        return found


def runs_of(held: Sequence[ChunkEntry], longest_values: int, widths: dict[int, int]) -> Iterator[list[ChunkEntry]]:
    """Neighbours in arrival and of one catalogue, two or more, that together have at most `longest_values` values."""
    run: list[ChunkEntry] = []
    rows = 0
    for entry in held:
        fits = (rows + entry.rows) * max(1, widths.get(entry.catalogue, 1)) <= longest_values
        if run and entry.catalogue == run[-1].catalogue and entry.first == run[-1].last + 1 and fits:
            run.append(entry)
            rows += entry.rows
            continue
        if len(run) > 1:
            yield run
        run, rows = [entry], entry.rows
    if len(run) > 1:
        yield run
