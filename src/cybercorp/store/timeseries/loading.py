"""Build the state in memory from the database: after a start, and after an input/output error.

Of the log only the heads of its entries are read, so that hours of rows that were never sealed do not hold up a start.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import zstandard
from numpy.typing import NDArray

from cybercorp.store.timeseries.encoding.chunks import DamagedChunkError
from cybercorp.store.timeseries.encryption import Encryption
from cybercorp.store.timeseries.log.batches import DamagedBatchError, unpack_head
from cybercorp.store.timeseries.log.head import Logged
from cybercorp.store.timeseries.log.unsealed import EntryColumns, columns_of, read_whole
from cybercorp.store.timeseries.rows import Integers
from cybercorp.store.timeseries.state import UNKNOWN_AGE, HostState, State
from cybercorp.store.timeseries.storage.contract import ChunkBodies, ChunkStorage

Names = list[tuple[int, str]]
SLAB_ROWS = 1 << 18  # so many rows are put in order at a time: bounds the memory that takes


def load_state(storage: ChunkStorage, encryption: Encryption) -> State:
    """Everything that was acknowledged: the chunk index, and which rows are in the log only."""
    loaded = storage.load()
    state = State(storage, encryption)
    state.notes = loaded.damage
    state.catalogues.load(loaded.catalogues)
    state.acked = {(host, stream): acked for host, stream, acked in loaded.streams}
    state.next_log = loaded.next_log
    state.hosts = {mark.host: HostState(mark.host, mark) for mark in loaded.marks}
    aside = {key: reason for key, reason in storage.meta().items() if key.startswith(State.ASIDE) and reason}
    for entry in loaded.chunks:
        state.next_chunk = max(state.next_chunk, entry.id + 1)
        if entry.host < 0:  # its host was removed
            state.doomed.append(entry.id)
        elif f"{State.ASIDE}{entry.id}" in aside:
            state.set_aside(entry, aside[f"{State.ASIDE}{entry.id}"])
        elif entry.catalogue and entry.catalogue not in state.catalogues.widths:
            state.notes.append(f"Chunk {entry.id} of host {entry.host} cannot be read: its catalogue is damaged.")
        else:
            state.host(entry.host).index(entry.kind).add(entry)
    _Loader(state).load(storage)
    return state


class _Loader:
    """Collects the rows of log entries until they make a slab, then gives each host its own."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._dropped = {host.host: host.dropped for host in state.hosts.values() if host.dropped}
        self._acked: dict[tuple[int, str], int] = {}
        self._told: dict[tuple[int, str], int] = {}  # the last log entry of each stream
        self._lost: dict[int, tuple[int, int, int]] = {}  # of a host: rows without a catalogue, from when to when
        self._needed: set[int] = set()
        self._slab: list[tuple[int, EntryColumns]] = []
        self._rows = 0

    def load(self, storage: ChunkStorage) -> None:
        with storage.reader() as reader:
            for number, names, columns in self._entries(storage, reader):
                self._acknowledge(number, names, columns)
                self._slab.append((number, columns))
                self._rows += len(columns.hosts)
                if self._rows >= SLAB_ROWS:
                    self._share_out()
        self._share_out()
        acked = self._state.acked
        for key, seq in self._acked.items():
            if seq > acked.get(key, 0):
                acked[key] = seq
        self._state.unsaved_acks.update(self._told)
        self._state.backlog.extend(sorted(self._needed))
        for host, (rows, start, end) in self._lost.items():
            self._state.notes.append(
                f"{rows} rows of host {host} from {start} to {end} ms are lost: their catalogue is damaged."
            )

    def _entries(self, storage: ChunkStorage, reader: ChunkBodies) -> Iterator[tuple[int, Names, EntryColumns]]:
        for number, received_ms, head in storage.log_heads():
            try:
                if head:
                    unpacked = unpack_head(number, head)
                    names, columns = unpacked.names, columns_of(unpacked)
                else:
                    names, columns, _ = read_whole(number, reader)
                yield number, names, columns
            except (DamagedBatchError, DamagedChunkError, zstandard.ZstdError) as error:
                self._state.notes.append(
                    f"Log entry {number}, received at {received_ms} ms, is damaged ({error}); its rows are lost."
                )

    def _acknowledge(self, number: int, names: Names, columns: EntryColumns) -> None:
        """Numbers of a stream grow from entry to entry, so the last of each is what is acknowledged."""
        seqs = columns.seqs
        if len(names) < len(seqs):
            seqs = np.zeros(len(names), dtype=np.int64)
            np.maximum.at(seqs, columns.places, columns.seqs)
        found = zip(names, seqs.tolist(), strict=True)
        if self._dropped:
            kept = {key: seq for key, seq in found if number > self._dropped.get(key[0], 0)}
            self._acked.update(kept)
            self._told.update(dict.fromkeys(kept, number))
        else:
            self._acked.update(found)
            self._told.update(dict.fromkeys(names, number))

    def _share_out(self) -> None:
        """Give each host its rows of the slab that are in no chunk."""
        if not self._slab:
            return
        lengths = [len(one.hosts) for _, one in self._slab]
        hosts = np.concatenate([one.hosts for _, one in self._slab])
        order = np.argsort(hosts, kind="stable")
        hosts = hosts[order]
        rows = Logged(
            np.repeat([number for number, _ in self._slab], lengths)[order],
            np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])[order],
            np.concatenate([one.timestamps for _, one in self._slab])[order],
            np.concatenate([one.catalogues for _, one in self._slab])[order],
        )
        self._slab, self._rows = [], 0
        wanted = (rows.catalogues >= 0) & (rows.entries > self._marks(hosts))
        known = np.isin(rows.catalogues, [0, *self._state.catalogues.widths])
        for host, lost in _by_host(hosts, rows, wanted & ~known):
            times = lost.timestamps
            count, start, end = self._lost.get(host, (0, int(times[0]), int(times[0])))
            self._lost[host] = count + len(times), min(start, int(times.min())), max(end, int(times.max()))
        self._needed.update(np.unique(rows.entries[wanted & known]).tolist())
        for number, found in _by_host(hosts, rows, wanted & known):
            known_host = self._state.host(number)
            known_host.head.parts.append(found)
            known_host.head_since = UNKNOWN_AGE

    def _marks(self, hosts: Integers) -> Integers:
        """Of each row: up to which log entry rows of its host are in chunks or dropped."""
        numbers, places = np.unique(hosts, return_inverse=True)
        known = [self._state.hosts.get(number) for number in numbers.tolist()]
        return np.array([max(one.sealed, one.dropped) if one else 0 for one in known], dtype=np.int64)[places]


def _by_host(hosts: Integers, rows: Logged, chosen: NDArray[np.bool_]) -> Iterator[tuple[int, Logged]]:
    """The chosen rows of each host; `hosts` ascend."""
    hosts, columns = hosts[chosen], [column[chosen] for column in rows]
    if len(hosts):
        for start, end in itertools.pairwise([0, *(np.flatnonzero(np.diff(hosts)) + 1).tolist(), len(hosts)]):
            entries, places, timestamps, catalogues = (column[start:end] for column in columns)
            yield int(hosts[start]), Logged(entries, places, timestamps, catalogues)
