"""Rows that are only in the log: read when they are asked for, a frame at a time, with a small memory of frames.

Used by whoever reads a picture of a head (`LogReader.rows`), and by the background, which packs whole entries (`read`).
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import zstandard

from cybercorp.store.timeseries.batches import BatchHead, DamagedBatchError, frame_span, unpack_frame, unpack_head
from cybercorp.store.timeseries.chunks import DamagedChunkError
from cybercorp.store.timeseries.head import HeadRow, Logged, Packed, Part, RowTuple
from cybercorp.store.timeseries.rows import Integers
from cybercorp.store.timeseries.storage import ChunkBodies, ChunkGoneError, ChunkStorage
from cybercorp.store.timeseries.whole_batches import unpack_whole

WHOLE_BYTES = 1 << 30  # of an entry without a head everything is read
_KEPT_BYTES = 32 * 1024**2
_NAMED_HOSTS = 5
_NOTHING = np.empty(0, dtype=np.int64)
_DAMAGE = (DamagedBatchError, DamagedChunkError, zstandard.ZstdError)

Note = Callable[[int, int, str], None]  # of what entry and frame (−1: the whole entry) is damaged, and a sentence


class EntryColumns(NamedTuple):
    """Which rows a log entry has, in order of arrival."""

    keys: list[tuple[int, str]]
    places: Integers
    seqs: Integers
    timestamps: Integers
    received: Integers
    catalogues: Integers

    @property
    def hosts(self) -> Integers:
        return np.array([host for host, _ in self.keys], dtype=np.int64)[self.places]


class _Entry:
    """A log entry with the bodies that were read so far; None is a body that is damaged or was not read."""

    def __init__(self, number: int, reader: ChunkBodies) -> None:
        """Raises DamagedBatchError, ChunkGoneError."""
        self.number = number
        packed = reader.log_head(number)
        self.head: BatchHead | None = None
        self.size_bytes = 0
        self._read: set[int] = set()
        if packed:
            self.head = unpack_head(number, packed)
            self.columns = columns_of(self.head)
            self.bodies: list[bytes | None] = [None] * len(self.head.seqs)
            return
        self.columns, bodies = read_whole(number, reader)
        self.size_bytes = sum(map(len, bodies))
        self.bodies = [*bodies]

    def read(self, reader: ChunkBodies, frames: Iterable[int], note: Note) -> None:
        """Read frames that were not read yet; damage is noted. Raises ChunkGoneError."""
        head = self.head
        if head is None or not (wanted := set(frames) - self._read):
            return
        with reader.log_body(self.number) as read:
            for frame in sorted(wanted):
                self._read.add(frame)
                try:
                    start, length = frame_span(head, frame)
                    places, bodies = unpack_frame(head, frame, read(start, length))
                except _DAMAGE as error:
                    rows = np.flatnonzero(head.frames == frame)
                    sentence = _sentence(self.number, str(error), head.hosts[rows], head.timestamps[rows])
                    note(self.number, frame, sentence)
                    continue
                for place, body in zip(places.tolist(), bodies, strict=True):
                    self.bodies[place] = body
                self.size_bytes += sum(map(len, bodies))

    def frames(self) -> Iterable[int]:
        """All of them."""
        return range(len(self.head.directory)) if self.head is not None else ()

    def frames_of(self, places: Integers) -> Iterable[int]:
        """Those that hold rows."""
        return np.unique(self.head.frames[places]).tolist() if self.head is not None else ()


class LogReader:
    """Any thread may call it."""

    def __init__(self, storage: ChunkStorage, note: Note) -> None:
        self._storage = storage
        self._note = note
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, _Entry] = OrderedDict()

    def rows(self, part: Logged) -> list[HeadRow]:
        """The rows themselves; damaged ones are noted and left out. Raises ChunkGoneError, StorageError."""
        found: list[HeadRow] = []
        if not part.rows:
            return found
        with self._lock, self._storage.reader() as reader:
            cuts = [0, *(np.flatnonzero(np.diff(part.entries)) + 1).tolist(), part.rows]
            for start, end in itertools.pairwise(cuts):
                number, places = int(part.entries[start]), part.places[start:end]
                try:
                    entry = self._entry(number, reader)
                except _DAMAGE as error:
                    self._note(number, -1, _sentence(number, str(error), _NOTHING, part.timestamps[start:end]))
                    continue
                entry.read(reader, entry.frames_of(places), self._note)
                received, catalogues = entry.columns.received, entry.columns.catalogues
                for place, time in zip(places.tolist(), part.timestamps[start:end].tolist(), strict=True):
                    if (body := entry.bodies[place]) is not None:
                        found.append(HeadRow(number, time, int(received[place]), int(catalogues[place]), body))
            self._forget()
        return found

    def entries(self, numbers: Iterable[int]) -> Iterator[tuple[int, EntryColumns | None, list[bytes | None]]]:
        """Whole entries one after the other; what is damaged is noted and None. Raises StorageError."""
        with self._storage.reader() as reader:
            for number in numbers:
                try:
                    entry = _Entry(number, reader)
                    entry.read(reader, entry.frames(), self._note)
                except _DAMAGE as error:
                    self._note(number, -1, _sentence(number, str(error), _NOTHING, _NOTHING))
                except ChunkGoneError:
                    pass  # nothing of it was needed
                else:
                    yield number, entry.columns, entry.bodies
                    continue
                yield number, None, []

    def _entry(self, number: int, reader: ChunkBodies) -> _Entry:
        entry = self._kept.get(number)
        if entry is None:
            entry = self._kept[number] = _Entry(number, reader)
        self._kept.move_to_end(number)
        return entry

    def _forget(self) -> None:
        size = sum(entry.size_bytes for entry in self._kept.values())
        while size > _KEPT_BYTES:
            _, entry = self._kept.popitem(last=False)
            size -= entry.size_bytes


def head_rows(
    log: LogReader, parts: Iterable[Part], tail: Iterable[RowTuple], start_ms: int, end_ms: int, *, samples: bool
) -> list[HeadRow]:
    """The samples, or the process tables, of a head in `[start_ms, end_ms)`. Raises ChunkGoneError, StorageError."""
    found: list[HeadRow] = []
    for part in parts:
        if isinstance(part, Packed):
            rows = part.unpack() if part.start_ms < end_ms and part.end_ms >= start_ms else []
            found += [one for one in rows if start_ms <= one.timestamp_ms < end_ms and (one.catalogue != 0) == samples]
        elif (wanted := part.of(start_ms, end_ms, samples)) is not None:
            found += log.rows(wanted)
    inside = [row for row in tail if start_ms <= row[1] < end_ms and (row[3] != 0) == samples]
    found.extend(map(HeadRow._make, inside))
    return found


def last_samples(log: LogReader, parts: Sequence[Part]) -> HeadRow | None:
    """The row of samples that arrived last and is sound. Raises ChunkGoneError, StorageError."""
    for part in reversed(parts):
        rows = part.unpack() if isinstance(part, Packed) else log.rows(part.last_samples())
        if samples := [row for row in rows if row.catalogue]:
            return samples[-1]
    return None


def read_whole(number: int, reader: ChunkBodies) -> tuple[EntryColumns, list[bytes]]:
    """An entry of the first format. Raises DamagedBatchError, DamagedChunkError, ChunkGoneError."""
    with reader.log_body(number) as read:
        batch = unpack_whole(number, read(0, WHOLE_BYTES))
    names: dict[tuple[int, str], int] = {}
    places = [names.setdefault(name, len(names)) for name in zip(batch.hosts, batch.streams, strict=True)]
    numbers = (places, batch.seqs, batch.timestamps, batch.received, batch.catalogues)
    return EntryColumns(list(names), *(np.array(one, dtype=np.int64) for one in numbers)), list(batch.bodies)


def columns_of(head: BatchHead) -> EntryColumns:
    return EntryColumns(head.names, head.places, head.seqs, head.timestamps, head.received, head.catalogues)


def _sentence(number: int, reason: str, hosts: Integers, times: Integers) -> str:
    named = sorted(set(hosts.tolist()))
    more = f" and {len(named) - _NAMED_HOSTS} more" if len(named) > _NAMED_HOSTS else ""
    told = ", ".join(map(str, named[:_NAMED_HOSTS])) + more
    whose = f" of {'host' if len(named) == 1 else 'hosts'} {told}" if named else ""
    reach = f" from {int(times.min())} to {int(times.max())} ms" if len(times) else ""
    return f"Log entry {number} is damaged ({reason}): {len(times) or 'its'} rows{whose}{reach} are lost."
