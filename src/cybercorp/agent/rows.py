"""Rows in memory: a queue of records that knows its bytes: what is not on disk yet, and the newest that is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from cybercorp.agent.gaps import Gap, read_gap
from cybercorp.agent.spool_file import ROW_OVERHEAD_BYTES
from cybercorp.protocol.agents import Record


class Rows:
    """Records in order of their numbers."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @property
    def oldest_seq(self) -> int:
        """The first number, 0 where there is none."""
        return self._records[0].seq if self._records else 0

    @property
    def newest_seq(self) -> int:
        """The last number, 0 where there is none."""
        return self._records[-1].seq if self._records else 0

    def add(self, records: Iterable[Record]) -> None:
        """Add records at the end."""
        for record in records:
            self._records.append(record)
            self.size_bytes += row_size(record)

    def add_first(self, record: Record) -> None:
        """Add a record before all others."""
        self._records.appendleft(record)
        self.size_bytes += row_size(record)

    def drop_until(self, seq: int) -> None:
        """Forget the records up to this number."""
        while self._records and self._records[0].seq <= seq:
            self.size_bytes -= row_size(self._records.popleft())

    def keep_newest(self, max_bytes: int) -> None:
        """Forget the oldest until the rest is small enough."""
        while self._records and self.size_bytes > max_bytes:
            self.size_bytes -= row_size(self._records.popleft())

    def clear(self) -> None:
        """Forget all."""
        self._records.clear()
        self.size_bytes = 0

    def renumber(self, start: int) -> None:
        """Number the records anew, from `start`."""
        self._records = deque(msgspec.structs.replace(one, seq=seq) for seq, one in enumerate(self, start=start))

    def replace_oldest_by_gap(self, max_bytes: int, after_seq: int) -> None:
        """Let the oldest records after `after_seq` give way to one that reports them, until `max_bytes` are left."""
        kept = [one for one in self._records if one.seq <= after_seq]
        rest = deque(one for one in self._records if one.seq > after_seq)
        size = self.size_bytes
        gap: Gap | None = None
        while size > max_bytes and len(rest) > 1:
            one = rest.popleft()
            size -= row_size(one)
            gap = grown(gap, one.seq, one.timestamp_ms, one.type, one.body)
        self.clear()
        self.add([*kept, *([gap.record()] if gap else []), *rest])


def row_size(record: Record) -> int:
    """What a record costs, on disk and in memory, about."""
    return len(record.body) + ROW_OVERHEAD_BYTES


def grown(gap: Gap | None, seq: int, timestamp_ms: int, type: int, body: bytes) -> Gap:
    """The gap with one more record in it; a record that reports a gap itself is counted for what it reports."""
    one = read_gap(type, body) or Gap(first_seq=seq, last_seq=seq, from_ms=timestamp_ms, to_ms=timestamp_ms, count=1)
    return gap.joined(one) if gap else one


def first_bytes(records: list[Record], max_bytes: int) -> list[Record]:
    """The first records that are not larger than `max_bytes` together; at least one where there is one."""
    size = 0
    for index, one in enumerate(records):
        size += row_size(one)
        if index and size > max_bytes:
            return records[:index]
    return records
