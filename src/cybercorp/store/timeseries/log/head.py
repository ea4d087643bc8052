"""The rows of one host that are in no chunk yet, in order of arrival: in memory, packed in memory, or in the log only.

    parts   older rows: `Packed` (compressed, about a tenth of their size) or `Logged` (only where they are in the log)
    tail    the newest rows as they came

After a start the rows that were not sealed are `Logged`; the background packs them, oldest first, and seals them.
Parts never change, so that a picture of a head is a copy of two short lists. No input or output happens here.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.store.timeseries.encoding.compression import compress_fast, decompress
from cybercorp.store.timeseries.rows import Integers

ROW_OVERHEAD_BYTES = 160  # tuple, numbers and the bytes object's own header
_PART_OVERHEAD_BYTES = 400
_NUMBERS = 5
_LAST_ROWS = 4

RowTuple = tuple[int, int, int, int, bytes]  # the fields of HeadRow: plain tuples of numbers cost the collector nothing


class HeadRow(NamedTuple):
    """A row that is in the log and not in a chunk. `catalogue` 0 is a process table."""

    batch: int
    timestamp_ms: int
    received_ms: int
    catalogue: int
    body: bytes


class Packed(NamedTuple):
    """Rows compressed together. `values` counts the numbers in their samples."""

    rows: int
    first: int
    last: int
    start_ms: int
    end_ms: int
    catalogues: tuple[int, ...]
    values: int
    data: bytes

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return len(self.data) + _PART_OVERHEAD_BYTES

    def unpack(self) -> list[HeadRow]:
        plain = decompress(self.data)
        numbers = array("q", plain[: 8 * _NUMBERS * self.rows]).tolist()
        columns = [numbers[place : place + self.rows] for place in range(0, len(numbers), self.rows)]
        ends = list(itertools.accumulate(columns.pop(), initial=8 * _NUMBERS * self.rows))
        bodies = [plain[start:end] for start, end in itertools.pairwise(ends)]
        return list(map(HeadRow._make, zip(*columns, bodies, strict=True)))


class Logged(NamedTuple):
    """Rows that are only in the log: row i is row `places[i]` of log entry `entries[i]`; entries ascend."""

    entries: Integers
    places: Integers
    timestamps: Integers
    catalogues: Integers

    @property
    def rows(self) -> int:
        return len(self.entries)

    def of(self, start_ms: int, end_ms: int, samples: bool) -> Logged | None:
        """The rows of `[start_ms, end_ms)` that are samples, or that are process tables."""
        chosen = (self.timestamps >= start_ms) & (self.timestamps < end_ms) & ((self.catalogues != 0) == samples)
        return Logged(*(column[chosen] for column in self)) if chosen.any() else None

    def last_samples(self) -> Logged:
        """The last few rows of samples: more than one, lest damage hide all."""
        chosen = np.flatnonzero(self.catalogues)[-_LAST_ROWS:]
        return Logged(*(column[chosen] for column in self))

    def after(self, entry: int) -> Logged | None:
        """The rows of later log entries."""
        place = int(np.searchsorted(self.entries, entry, side="right"))
        return Logged(*(column[place:] for column in self)) if place < self.rows else None


Part = Packed | Logged


def pack(rows: Sequence[RowTuple]) -> Packed:
    """Compress rows; there is at least one."""
    batches, times, received, catalogues, bodies = zip(*rows, strict=True)
    lengths = list(map(len, bodies))
    numbers = array("q", [*batches, *times, *received, *catalogues, *lengths])
    data = compress_fast(b"".join((numbers.tobytes(), *bodies)))
    known = tuple(sorted(set(catalogues)))
    if known[0]:
        values = sum(lengths) // 8
    else:
        values = sum(length for length, catalogue in zip(lengths, catalogues, strict=True) if catalogue) // 8
    return Packed(len(rows), batches[0], batches[-1], min(times), max(times), known, values, data)


def bytes_of(rows: Iterable[RowTuple]) -> int:
    """What rows that are not packed take in memory."""
    return sum(len(row[4]) + ROW_OVERHEAD_BYTES for row in rows)


class Head:
    """Guarded by the state's lock. `ready` are the rows that are in memory with nothing older in the log only."""

    __slots__ = ("packed_bytes", "parts", "tail")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.tail: list[RowTuple] = []
        self.packed_bytes = 0

    def __bool__(self) -> bool:
        return bool(self.tail or self.parts)

    def __len__(self) -> int:
        return sum(part.rows for part in self.parts) + len(self.tail)

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        return self.packed_bytes + (len(self.tail) * (len(self.tail[-1][4]) + ROW_OVERHEAD_BYTES) if self.tail else 0)

    @property
    def is_logged(self) -> bool:
        """Whether rows of it are in the log only."""
        return any(isinstance(part, Logged) for part in self.parts)

    @property
    def first_batch(self) -> int:
        """The oldest log entry that it needs; it is not empty."""
        if not self.parts:
            return self.tail[0][0]
        part = self.parts[0]
        return part.first if isinstance(part, Packed) else int(part.entries[0])

    @property
    def ready(self) -> int:
        """How many rows can be taken: those before the first that is in the log only."""
        rows = 0
        for part in self.parts:
            if isinstance(part, Logged):
                return rows
            rows += part.rows
        return rows + len(self.tail)

    def take(self) -> tuple[list[Packed], list[RowTuple]]:
        """What is ready, to be read with `rows_of` when the lock is given back."""
        parts: list[Packed] = []
        for part in self.parts:
            if isinstance(part, Logged):
                return parts, []
            parts.append(part)
        return parts, list(self.tail)

    def picture(self) -> tuple[list[Part], list[RowTuple]]:
        """Everything, to be read with `head_rows` when the lock is given back."""
        return list(self.parts), list(self.tail)

    def swap(self, rows: Sequence[RowTuple], part: Packed) -> int:
        """Put `part` in the place of `rows`, the beginning of the tail; returns by how much the memory changed.

        It is left as it is where the tail begins with other rows now.
        """
        if not self.tail or self.tail[0] is not rows[0] or len(self.tail) < len(rows):
            return 0
        del self.tail[: len(rows)]
        self.parts.append(part)
        self.packed_bytes += part.size_bytes
        return part.size_bytes - bytes_of(rows)

    def thaw(self, up_to: int, part: Packed | None) -> int:
        """Rows of log entries up to `up_to` are in memory now, as `part`; returns by how much the memory changed."""
        begins = next((place for place, one in enumerate(self.parts) if isinstance(one, Logged)), len(self.parts))
        kept: list[Part] = [part] if part else []
        for one in self.parts[begins:]:
            rest = one.after(up_to) if isinstance(one, Logged) else one
            kept.extend([rest] if rest else [])
        self.parts[begins:] = kept
        size = part.size_bytes if part else 0
        self.packed_bytes += size
        return size

    def forget(self, count: int) -> int:
        """Drop the first `count` rows, all of them ready; returns by how much the memory shrank."""
        before = self.packed_bytes
        while count and self.parts:
            part = self.parts[0]
            if isinstance(part, Logged):
                raise ValueError("rows that are in the log only cannot be forgotten")
            self.packed_bytes -= part.size_bytes
            if part.rows <= count:
                del self.parts[0]
                count -= part.rows
                continue
            rest = pack(part.unpack()[count:])  # it was packed after the rows had been taken
            self.parts[0] = rest
            self.packed_bytes += rest.size_bytes
            count = 0
        freed = before - self.packed_bytes
        if count:
            freed += bytes_of(self.tail[:count])
            del self.tail[:count]
        return freed

    def forget_all(self) -> int:
        """Drop every row; returns by how much the memory shrank."""
        freed = self.packed_bytes + bytes_of(self.tail)
        self.parts, self.tail, self.packed_bytes = [], [], 0
        return freed

    def bounds(self) -> tuple[int, int] | None:
        """The oldest and the newest timestamp."""
        spans = list(itertools.chain.from_iterable(_span(part) for part in self.parts))
        spans += [row[1] for row in self.tail]
        return (min(spans), max(spans)) if spans else None

    def catalogues(self) -> set[int]:
        """The numbers of the catalogues of its rows; 0 for process tables."""
        found = {row[3] for row in self.tail}
        for part in self.parts:
            found.update(part.catalogues if isinstance(part, Packed) else np.unique(part.catalogues).tolist())
        return found

    def values(self, widths: dict[int, int]) -> int:
        """How many numbers its samples have; `widths` of catalogues."""
        count = sum(len(row[4]) // 8 for row in self.tail if row[3])
        for part in self.parts:
            if isinstance(part, Packed):
                count += part.values
            else:
                numbers, rows = np.unique(part.catalogues, return_counts=True)
                count += sum(widths.get(n, 0) * r for n, r in zip(numbers.tolist(), rows.tolist(), strict=True))
        return count

    def catalogue_at(self, at_ms: int | None) -> tuple[int, int] | None:
        """Time and catalogue of the newest samples at or before `at_ms`; of those that arrived last for None."""
        best: tuple[int, int] | None = None
        for times, catalogues in self._backwards():
            for time, catalogue in zip(reversed(times), reversed(catalogues), strict=True):
                if catalogue and at_ms is None:
                    return time, catalogue
                if catalogue and at_ms is not None and time <= at_ms and (best is None or time > best[0]):
                    best = time, catalogue
        return best

    def _backwards(self) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
        yield [row[1] for row in self.tail], [row[3] for row in self.tail]
        for part in reversed(self.parts):
            if isinstance(part, Logged):
                yield part.timestamps.tolist(), part.catalogues.tolist()
            else:
                rows = part.unpack()
                yield [row.timestamp_ms for row in rows], [row.catalogue for row in rows]


def rows_of(parts: Iterable[Packed], tail: Iterable[RowTuple]) -> list[HeadRow]:
    """The rows of what `Head.take` gave."""
    rows = [row for part in parts for row in part.unpack()]
    rows.extend(map(HeadRow._make, tail))
    return rows


def _span(part: Part) -> tuple[int, int]:
    if isinstance(part, Packed):
        return part.start_ms, part.end_ms
    return int(part.timestamps.min()), int(part.timestamps.max())
