"""Rows that are only in the log: read when they are asked for, a frame at a time, with a small memory of frames.

Used by whoever reads a picture of a head (`LogReader.rows`), and by the background, which packs whole entries (`read`).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import zstandard

from cybercorp.store.timeseries.encoding.chunks import DamagedChunkError
from cybercorp.store.timeseries.encryption import Encryption
from cybercorp.store.timeseries.log.batches import (
    BatchHead,
    DamagedBatchError,
    check_frame,
    frame_span,
    unpack_frame,
    unpack_head,
)
from cybercorp.store.timeseries.log.head import HeadRow, Logged, Packed, Part, RowTuple
from cybercorp.store.timeseries.log.whole_batches import unpack_whole
from cybercorp.store.timeseries.rows import Integers
from cybercorp.store.timeseries.storage.contract import ChunkBodies, ChunkGoneError, ChunkStorage

WHOLE_BYTES = 1 << 30  # of an entry without a head everything is read
_KEPT_BYTES = 32 * 1024**2
_ROWS_AHEAD = 24_000
_NAMED_HOSTS = 5
_NOTHING = np.empty(0, dtype=np.int64)
_DAMAGE = (DamagedBatchError, DamagedChunkError, zstandard.ZstdError)

_Item = TypeVar("_Item")
Note = Callable[[int, int, str], None]  # of what entry and frame (−1: the whole entry) is damaged, and a sentence


class EntryColumns(NamedTuple):
    """Which rows a log entry has, in order of arrival."""

    hosts: Integers
    places: Integers
    seqs: Integers
    timestamps: Integers
    received: Integers
    catalogues: Integers


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
        _, self.columns, bodies = read_whole(number, reader)
        self.size_bytes = sum(map(len, bodies))
        self.bodies = [*bodies]

    def read(self, reader: ChunkBodies, frames: Iterable[int], note: Note, encryption: Encryption) -> None:
        """Read frames that were not read yet; damage is noted. Raises ChunkGoneError, StorageCorruptError."""
        head = self.head
        if head is None:
            return

        def decrypt(frame: int, data: bytes) -> bytes:
            return encryption.of_frame(self.number, frame).decrypt(data)

        def take(frame: int, data: bytes) -> None:
            places, bodies = unpack_frame(head, frame, data, decrypt)
            for place, body in zip(places.tolist(), bodies, strict=True):
                self.bodies[place] = body
            self.size_bytes += sum(map(len, bodies))

        wanted = set(frames) - self._read
        self._each(head, reader, wanted, note, take)
        self._read |= wanted

    def check(self, reader: ChunkBodies, note: Note) -> None:
        """Compare every frame with its checksum; damage is noted. No key is needed. Raises ChunkGoneError."""
        head = self.head
        if head is not None:
            self._each(head, reader, set(self.frames()), note, functools.partial(check_frame, head))

    def _each(
        self, head: BatchHead, reader: ChunkBodies, wanted: set[int], note: Note, take: Callable[[int, bytes], None]
    ) -> None:
        if not wanted:
            return
        try:
            with reader.log_body(self.number) as read:
                for frame in sorted(wanted):
                    try:
                        take(frame, read(*frame_span(head, frame)))
                    except _DAMAGE as error:
                        rows = np.flatnonzero(head.frames == frame)
                        hosts, times = head.hosts[rows], head.timestamps[rows]
                        note(self.number, frame, _sentence(self.number, str(error), hosts, times))
        except DamagedChunkError as error:
            note(self.number, -1, _sentence(self.number, str(error), head.hosts, head.timestamps))

    def row(self, place: int) -> HeadRow | None:
        """A row whose frame was read; None where it is damaged."""
        body, columns = self.bodies[place], self.columns
        if body is None:
            return None
        time, received, catalogue = columns.timestamps[place], columns.received[place], columns.catalogues[place]
        return HeadRow(self.number, int(time), int(received), int(catalogue), body)

    def frames(self) -> Iterable[int]:
        """All of them."""
        return range(len(self.head.directory)) if self.head is not None else ()

    def frames_of(self, places: Integers) -> Iterable[int]:
        """Those that hold rows."""
        return np.unique(self.head.frames[places]).tolist() if self.head is not None else ()


class LogReader:
    """Any thread may call it."""

    def __init__(self, storage: ChunkStorage, note: Note, encryption: Encryption) -> None:
        self._storage = storage
        self._note = note
        self._encryption = encryption
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, _Entry] = OrderedDict()
        self._prefetched: dict[tuple[int, int], HeadRow | None] = {}

    @contextlib.contextmanager
    def prefetched(self, parts: Sequence[Logged]) -> Iterator[None]:
        """While many hosts are read one after the other: what `rows` will be asked for is read entry by entry first.

        Of too much only the beginning is. Raises ChunkGoneError, StorageError.
        """
        found = self._prefetched = self._read_together(parts) if parts else {}
        try:
            yield
        finally:
            if self._prefetched is found:
                self._prefetched = {}

    def rows(self, part: Logged) -> list[HeadRow]:
        """The rows themselves; damaged ones are noted and left out. Raises ChunkGoneError, StorageError."""
        found: list[HeadRow] = []
        if not part.rows:
            return found
        prefetched = self._prefetched
        wanted = list(zip(part.entries.tolist(), part.places.tolist(), strict=True)) if prefetched else []
        if prefetched and all(one in prefetched for one in wanted):
            return [row for one in wanted if (row := prefetched[one]) is not None]
        with self._lock, self._storage.reader() as reader:
            cuts = [0, *(np.flatnonzero(np.diff(part.entries)) + 1).tolist(), part.rows]
            for start, end in itertools.pairwise(cuts):
                number, places = int(part.entries[start]), part.places[start:end]
                try:
                    entry = self._entry(number, reader)
                except _DAMAGE as error:
                    self._note(number, -1, _sentence(number, str(error), _NOTHING, part.timestamps[start:end]))
                    continue
                entry.read(reader, entry.frames_of(places), self._note, self._encryption)
                found.extend(row for place in places.tolist() if (row := entry.row(place)) is not None)
            self._forget()
        return found

    def entries(self, numbers: Iterable[int]) -> Iterator[tuple[int, EntryColumns | None, list[bytes | None]]]:
        """Whole entries one after the other; what is damaged is noted and None. Raises StorageError."""
        with self._storage.reader() as reader:
            for number in numbers:
                try:
                    entry = _Entry(number, reader)
                    entry.read(reader, entry.frames(), self._note, self._encryption)
                except _DAMAGE as error:
                    self._note(number, -1, _sentence(number, str(error), _NOTHING, _NOTHING))
                except ChunkGoneError:
                    pass  # nothing of it was needed
                else:
                    yield number, entry.columns, entry.bodies
                    continue
                yield number, None, []

    def check(self, numbers: Iterable[int]) -> None:
        """Compare entries with their checksums; what is damaged is noted. Raises StorageError."""
        with self._storage.reader() as reader:
            for number in numbers:
                try:
                    _Entry(number, reader).check(reader, self._note)
                except _DAMAGE as error:
                    self._note(number, -1, _sentence(number, str(error), _NOTHING, _NOTHING))
                except ChunkGoneError:
                    continue

    def _read_together(self, parts: Sequence[Logged]) -> dict[tuple[int, int], HeadRow | None]:
        found: dict[tuple[int, int], HeadRow | None] = {}
        places = np.concatenate([part.places for part in parts])
        entries = np.concatenate([part.entries for part in parts])
        order = np.argsort(entries, kind="stable")
        places, entries = places[order], entries[order]
        size = 0
        with self._storage.reader() as reader:
            for start, end in itertools.pairwise([0, *(np.flatnonzero(np.diff(entries)) + 1).tolist(), len(entries)]):
                number = int(entries[start])
                try:
                    entry = _Entry(number, reader)
                except _DAMAGE:
                    continue  # told by whoever asks for its rows
                entry.read(reader, entry.frames_of(places[start:end]), self._note, self._encryption)
                for place in places[start:end].tolist():
                    row = found[number, place] = entry.row(place)
                    size += len(row.body) if row else 0
                if size > _KEPT_BYTES:
                    break
        return found

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


def read_ahead(
    log: LogReader, items: Sequence[_Item], parts_of: Callable[[_Item], Iterable[Part]], start_ms: int, end_ms: int
) -> Iterator[_Item]:
    """The items one after the other; samples of `[start_ms, end_ms)` in their parts that are in the log only are read
    for many of them at once, as a log entry has rows of many hosts. Raises ChunkGoneError, StorageError.
    """
    group: list[_Item] = []
    logged: list[Logged] = []
    rows = 0
    for item in items:
        for part in parts_of(item):
            if isinstance(part, Logged) and (found := part.of(start_ms, end_ms, True)) is not None:
                logged.append(found)
                rows += found.rows
        group.append(item)
        if rows >= _ROWS_AHEAD:
            with log.prefetched(logged):
                yield from group
            group, logged, rows = [], [], 0
    with log.prefetched(logged):
        yield from group


def last_samples(log: LogReader, parts: Sequence[Part]) -> HeadRow | None:
    """The row of samples that arrived last and is sound. Raises ChunkGoneError, StorageError."""
    for part in reversed(parts):
        rows = part.unpack() if isinstance(part, Packed) else log.rows(part.last_samples())
        if samples := [row for row in rows if row.catalogue]:
            return samples[-1]
    return None


def read_whole(number: int, reader: ChunkBodies) -> tuple[list[tuple[int, str]], EntryColumns, list[bytes]]:
    """An entry of the first format: names of streams, columns, bodies.

    Raises DamagedBatchError, DamagedChunkError, ChunkGoneError.
    """
    with reader.log_body(number) as read:
        batch = unpack_whole(number, read(0, WHOLE_BYTES))
    names: dict[tuple[int, str], int] = {}
    places = [names.setdefault(name, len(names)) for name in zip(batch.hosts, batch.streams, strict=True)]
    numbers = (batch.hosts, places, batch.seqs, batch.timestamps, batch.received, batch.catalogues)
    return list(names), EntryColumns(*(np.array(one, dtype=np.int64) for one in numbers)), list(batch.bodies)


def columns_of(head: BatchHead) -> EntryColumns:
    numbers = (head.seqs, head.timestamps, head.received, head.catalogues)
    return EntryColumns(head.hosts, head.places, *numbers)


def _sentence(number: int, reason: str, hosts: Integers, times: Integers) -> str:
    named = sorted(set(hosts.tolist()))
    more = f" and {len(named) - _NAMED_HOSTS} more" if len(named) > _NAMED_HOSTS else ""
    told = ", ".join(map(str, named[:_NAMED_HOSTS])) + more
    whose = f" of {'host' if len(named) == 1 else 'hosts'} {told}" if named else ""
    reach = f" from {int(times.min())} to {int(times.max())} ms" if len(times) else ""
    return f"Log entry {number} is damaged ({reason}): {len(times) or 'its'} rows{whose}{reach} are lost."
