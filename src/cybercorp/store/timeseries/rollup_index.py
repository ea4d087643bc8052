"""The index of one host's rollup chunks of one tier, and which of them counts where.

Rollups are made period by period and later joined. The chunks that were made together, one for each catalogue, are a
set; all of a set tell the same `last`: every block of raw rows up to that number, of the periods the set covers, is in
it. Where sets overlap the one that knows more blocks counts, of equal ones the longer.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cybercorp.store.timeseries.index import ChunkIndex, period_of
from cybercorp.store.timeseries.storage.contract import ChunkEntry

MINUTES, HOURS = 3, 4
"""The kinds of rollup chunks: one interval a minute, one an hour."""

DAY_PERIODS = 6
MONTH_PERIODS = 28 * DAY_PERIODS
GROUPS = {MINUTES: DAY_PERIODS, HOURS: MONTH_PERIODS}
"""How many periods the chunks of a kind are joined to in the end: a day of minutes, four weeks of hours."""


class RollupSet(NamedTuple):
    """Chunks that were made together. Sets compare by what counts more."""

    last: int
    length_ms: int
    start_ms: int
    entries: tuple[ChunkEntry, ...]


class RollupIndex:
    """`unsettled` holds the groups of periods (numbered by `GROUPS`) that got a chunk since they were last joined."""

    def __init__(self, host: int, samples: ChunkIndex, kind: int) -> None:
        self._host = host
        self._samples = samples
        self._group = GROUPS[kind]
        self._entries: list[ChunkEntry] = []
        self.unsettled: set[int] = set()

    def __iter__(self) -> Iterator[ChunkEntry]:
        return iter(self._entries)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def add(self, entry: ChunkEntry) -> None:
        insort(self._entries, entry, key=lambda one: one.start_ms)
        # Blocks that a rollup knows may be gone: their numbers must not be given again.
        self._samples.next_block = max(self._samples.next_block, entry.last + 1)
        self.unsettled.update(self._groups(entry))

    def remove(self, entry: ChunkEntry) -> None:
        self._entries.remove(entry)

    def between(self, start_ms: int, end_ms: int) -> list[ChunkEntry]:
        """The chunks that touch `[start_ms, end_ms)`."""
        return [one for one in self._entries if one.start_ms < end_ms and one.end_ms >= start_ms]

    def bounds(self) -> tuple[int, int] | None:
        if not self._entries:
            return None
        return self._entries[0].start_ms, max(one.end_ms for one in self._entries)

    def superseded(self) -> list[ChunkEntry]:
        """The chunks that count nowhere any more."""
        counting = {one[:3] for one in covering(self._host, self._entries).values()}
        return [entry for one in sets_of(self._entries) if one[:3] not in counting for entry in one.entries]

    def _groups(self, entry: ChunkEntry) -> range:
        first, last = period_of(self._host, entry.start_ms), period_of(self._host, entry.end_ms)
        return range(first // self._group, last // self._group + 1)


def sets_of(entries: Iterable[ChunkEntry]) -> list[RollupSet]:
    """Chunks put together as they were made, what counts most at the end."""
    found: dict[tuple[int, int, int], list[ChunkEntry]] = {}
    for entry in entries:
        found.setdefault((entry.last, entry.end_ms - entry.start_ms, entry.start_ms), []).append(entry)
    return [RollupSet(*key, tuple(found[key])) for key in sorted(found)]


def periods_of(host: int, one: RollupSet) -> range:
    """The periods that a set covers."""
    return range(period_of(host, one.start_ms), period_of(host, one.start_ms + one.length_ms) + 1)


def covering(host: int, entries: Iterable[ChunkEntry]) -> dict[int, RollupSet]:
    """The set that counts for each period that has one."""
    return {period: one for one in sets_of(entries) for period in periods_of(host, one)}
