"""What the engine holds in memory: rows that are not sealed yet, the chunk index, acknowledgements, catalogues.

Everything here is read and changed under `State.lock`, held for moments only; no input or output happens under it.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Iterable

import msgspec

from cybercorp.protocol.metrics import Catalogue, Series
from cybercorp.store.timeseries.encoding.chunks import PROCESSES, SAMPLES
from cybercorp.store.timeseries.encryption import Encryption
from cybercorp.store.timeseries.index import MINUTE_MS, ChunkIndex
from cybercorp.store.timeseries.log.head import Head, Part, RowTuple
from cybercorp.store.timeseries.log.head import HeadRow as HeadRow
from cybercorp.store.timeseries.log.unsealed import LogReader
from cybercorp.store.timeseries.rollup_index import HOURS, MINUTES, RollupIndex
from cybercorp.store.timeseries.rows import LatestRow
from cybercorp.store.timeseries.storage.contract import CatalogueRow, ChunkEntry, ChunkStorage, HostMark

MAX_PENDING_CATALOGUES = 8
_ROWS = {PROCESSES: "process tables", MINUTES: "minutes", HOURS: "hours"}
UNKNOWN_AGE = float("-inf")  # of rows that were found at the start: they are due for sealing at once


class HostState:
    """One host: its unsealed rows in order of arrival, its chunks, and where it stands.

    `last` is the row of samples that arrived last while it is in memory; `latest` what was read of it from a chunk.
    """

    __slots__ = (
        "dropped",
        "head",
        "head_since",
        "host",
        "hours",
        "last",
        "latest",
        "minutes",
        "processes",
        "samples",
        "sealed",
    )

    def __init__(self, host: int, mark: HostMark | None = None) -> None:
        self.host = host
        self.head = Head()
        self.head_since = 0.0
        self.samples = ChunkIndex(host)
        self.processes = ChunkIndex(host)
        self.minutes = RollupIndex(host, self.samples, MINUTES)
        self.hours = RollupIndex(host, self.samples, HOURS)
        self.last: RowTuple | None = None
        self.latest: LatestRow | None = None
        self.sealed = mark.sealed if mark else 0
        self.dropped = mark.dropped if mark else 0

    def index(self, kind: int) -> ChunkIndex | RollupIndex:
        """The chunks of one kind."""
        if kind == SAMPLES:
            return self.samples
        if kind == MINUTES:
            return self.minutes
        return self.hours if kind == HOURS else self.processes

    def entries(self) -> list[ChunkEntry]:
        """Every chunk of every kind."""
        return [*self.samples, *self.processes, *self.minutes, *self.hours]

    @property
    def has_history(self) -> bool:
        """Whether anything is known of it."""
        return bool(self.head or self.samples or self.processes or self.minutes or self.hours)

    def bounds(self) -> tuple[int, int] | None:
        """The oldest and the newest timestamp; to the minute where only rollups are left."""
        spans = [one for one in (self.samples.bounds(), self.processes.bounds(), self.head.bounds()) if one]
        rolled = [one for one in (self.minutes.bounds(), self.hours.bounds()) if one]
        if not spans:
            spans = rolled
        if not spans:
            return None
        low, high = min(one[0] for one in spans), max(one[1] for one in spans)
        oldest = min((one[0] for one in rolled), default=low)
        return (oldest if oldest <= low - MINUTE_MS else low), high

    @property
    def head_bytes(self) -> int:
        """About what its unsealed rows take in memory."""
        return self.head.size_bytes

    def forget_sealed(self, count: int, up_to: int, now: float) -> int:
        """The first `count` rows are in chunks now; returns their bytes in memory."""
        removed = self.head.forget(count)
        self.head_since = now
        self.sealed = up_to
        return removed


class Catalogues:
    """Every catalogue by id and by number. They are shared: two hosts with the same series have the same catalogue."""

    def __init__(self) -> None:
        self._by_id: dict[str, CatalogueRow] = {}
        self._by_number: dict[int, CatalogueRow] = {}
        self._pending: dict[int, list[str]] = {}
        self._stored: set[int] = set()
        self.registered: set[int] = set()
        self.widths: dict[int, int] = {}
        self._series = functools.lru_cache(maxsize=512)(self._decode)

    def load(self, rows: Iterable[CatalogueRow]) -> None:
        for row in rows:
            self._keep(row)
            self._stored.add(row.number)

    def register(self, host: int, catalogue: Catalogue) -> None:
        """Make it known. It is stored with the first row that needs it; of those a host never uses few are kept."""
        known = self._by_id.get(catalogue.id)
        if known:
            self.registered.add(known.number)
            return
        number = max(self._by_number, default=0) + 1
        packed = msgspec.msgpack.encode(catalogue.series)
        self._keep(CatalogueRow(number, catalogue.id, len(catalogue.series), packed))
        self.registered.add(number)
        pending = self._pending.setdefault(host, [])
        pending.append(catalogue.id)
        if len(pending) > MAX_PENDING_CATALOGUES:
            self._forget(self._by_id[pending.pop(0)])

    def adopt(self, other: Catalogues) -> None:
        """Keep what agents named to `other`, whose rows may be lost."""
        for number in sorted(other.registered):
            row = other.row(number)
            known = self._by_id.get(row.id) or row._replace(number=max(self._by_number, default=0) + 1)
            self._keep(known)
            self.registered.add(known.number)

    def find(self, id: str) -> CatalogueRow | None:
        return self._by_id.get(id)

    def row(self, number: int) -> CatalogueRow:
        return self._by_number[number]

    def is_stored(self, number: int) -> bool:
        return number in self._stored

    def stored(self, rows: Iterable[CatalogueRow]) -> None:
        """These are in the database now."""
        for row in rows:
            self._stored.add(row.number)
            for pending in self._pending.values():
                if row.id in pending:
                    pending.remove(row.id)

    def series(self, number: int) -> tuple[Series, ...]:
        return self._series(number)

    def catalogue(self, number: int) -> Catalogue:
        return Catalogue(id=self._by_number[number].id, series=self._series(number))

    def unused(self, used: set[int]) -> list[int]:
        """Stored catalogues that no row needs and no agent has named since the store was opened."""
        return sorted(self._stored - used - self.registered)

    def delete(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._stored.discard(number)
            self._forget(self._by_number[number])

    def _keep(self, row: CatalogueRow) -> None:
        self._by_id[row.id] = row
        self._by_number[row.number] = row
        self.widths[row.number] = row.width

    def _forget(self, row: CatalogueRow) -> None:
        del self._by_id[row.id]
        del self.widths[row.number]
        # The number stays taken while this process lives, so that it never means two catalogues.
        self._by_number[row.number] = row._replace(id="", packed=b"\x90")
        self.registered.discard(row.number)

    def _decode(self, number: int) -> tuple[Series, ...]:
        return msgspec.msgpack.decode(self._by_number[number].packed, type=tuple[Series, ...])


def damage_of(entry: ChunkEntry, reason: str) -> str:
    """What is told of a damaged chunk."""
    return (
        f"Chunk {entry.id} of host {entry.host} is damaged: {reason}. "
        f"{entry.rows} {_ROWS.get(entry.kind, 'rows')} from {entry.start_ms} to {entry.end_ms} ms are affected."
    )


class State:
    """All hosts. `lock` guards every field but `log`. `backlog` are log entries with rows that are nowhere else.

    `suspects` are chunks that a reader found damaged, by id; `aside` those that are out of the index for good.
    """

    ASIDE = "aside:"
    """What the names of the notes in the database begin with that tell why a chunk was set aside."""

    def __init__(self, storage: ChunkStorage, encryption: Encryption) -> None:
        self.lock = threading.Lock()
        self.hosts: dict[int, HostState] = {}
        self.acked: dict[tuple[int, str], int] = {}
        self.unsaved_acks: dict[tuple[int, str], int] = {}  # and the log entry that tells it
        self.catalogues = Catalogues()
        self.head_bytes = 0
        self.next_log = 1
        self.next_chunk = 1
        self.damaged: dict[tuple[int, int], str] = {}
        self.suspects: dict[int, ChunkEntry] = {}
        self.aside: dict[int, ChunkEntry] = {}
        self.doomed: list[int] = []
        self.refused = 0
        self.notes: list[str] = []
        self.backlog: deque[int] = deque()
        self.log = LogReader(storage, self._note_log, encryption)

    def latest_of(self, row: RowTuple) -> LatestRow:
        """A row of samples as readers get it."""
        return LatestRow(row[1], self.catalogues.row(row[3]).id, row[4])

    def parts_of(self, host: int) -> list[Part]:
        """The older part of a host's unsealed rows."""
        with self.lock:
            known = self.hosts.get(host)
            return list(known.head.parts) if known is not None else []

    def host(self, host: int) -> HostState:
        """The host's state, made where it is new."""
        found = self.hosts.get(host)
        if found is None:
            found = self.hosts[host] = HostState(host)
        return found

    def holds(self, entry: ChunkEntry) -> bool:
        """Whether the chunk is still there: it may have been merged or dropped."""
        host = self.hosts.get(entry.host)
        return host is not None and entry in host.index(entry.kind).between(entry.start_ms, entry.end_ms + 1)

    def entries(self) -> list[ChunkEntry]:
        """Every chunk of every host and kind."""
        return [entry for host in self.hosts.values() for entry in host.entries()]

    def set_aside(self, entry: ChunkEntry, reason: str) -> str:
        """The chunk is in no index any more, but its block numbers stay taken; what is told of it."""
        self.aside[entry.id] = entry
        self.forget_damage(entry.id)
        sentence = self.damaged[entry.id, -1] = damage_of(entry, f"{reason}, and set aside")
        taken = self.host(entry.host).processes if entry.kind == PROCESSES else self.host(entry.host).samples
        taken.next_block = max(taken.next_block, entry.last + 1)
        return sentence

    def is_damaged(self, chunk: int) -> bool:
        """Whether any part of the chunk was found damaged."""
        return any(key[0] == chunk for key in self.damaged)

    def forget_damage(self, chunk: int) -> None:
        """The chunk is gone."""
        self.suspects.pop(chunk, None)
        for key in [key for key in self.damaged if key[0] == chunk]:
            del self.damaged[key]

    def drop(self, host: int, mark: HostMark, chunks: Iterable[ChunkEntry]) -> None:
        """Nothing is known of this host any more; its chunks wait to be deleted."""
        self.head_bytes -= self.hosts[host].head.forget_all()
        self.hosts[host] = HostState(host, mark)
        for key in [key for key in self.acked if key[0] == host]:
            del self.acked[key]
            self.unsaved_acks.pop(key, None)
        for chunk in [*chunks, *(one for one in self.aside.values() if one.host == host)]:
            self.aside.pop(chunk.id, None)
            self.forget_damage(chunk.id)
            self.doomed.append(chunk.id)

    def _note_log(self, number: int, frame: int, sentence: str) -> None:
        with self.lock:
            self.damaged[-number, frame] = sentence
