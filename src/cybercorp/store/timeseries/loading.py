"""Build the state in memory from the database: after a start, and after an input/output error.

Of the log only the heads of its entries are read, so that hours of rows that were never sealed do not hold up a start.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import zstandard

from cybercorp.store.timeseries.batches import DamagedBatchError, unpack_head
from cybercorp.store.timeseries.chunks import DamagedChunkError
from cybercorp.store.timeseries.head import Logged
from cybercorp.store.timeseries.log import EntryColumns, columns_of, read_whole
from cybercorp.store.timeseries.rows import Integers
from cybercorp.store.timeseries.state import UNKNOWN_AGE, HostState, State
from cybercorp.store.timeseries.storage import ChunkBodies, ChunkStorage

SLAB_ROWS = 1 << 18  # so many rows are put in order at a time: bounds the memory that takes


def load_state(storage: ChunkStorage) -> State:
    """Everything that was acknowledged: the chunk index, and which rows are in the log only."""
    loaded = storage.load()
    state = State(storage)
    state.notes = loaded.damage
    state.catalogues.load(loaded.catalogues)
    state.acked = {(host, stream): acked for host, stream, acked in loaded.streams}
    state.next_log = loaded.next_log
    state.hosts = {mark.host: HostState(mark.host, mark) for mark in loaded.marks}
    for entry in loaded.chunks:
        state.next_chunk = max(state.next_chunk, entry.id + 1)
        if entry.host < 0:  # its host was removed
            state.doomed.append(entry.id)
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
        self._lost: dict[int, tuple[int, int, int]] = {}  # of a host: rows without a catalogue, from when to when
        self._needed: set[int] = set()
        self._slab: list[tuple[int, EntryColumns, Integers]] = []
        self._rows = 0

    def load(self, storage: ChunkStorage) -> None:
        with storage.reader() as reader:
            for number, columns in self._entries(storage, reader):
                hosts = columns.hosts
                self._acknowledge(number, columns)
                self._slab.append((number, columns, hosts))
                self._rows += len(hosts)
                if self._rows >= SLAB_ROWS:
                    self._share_out()
        self._share_out()
        acked = self._state.acked
        for key, seq in self._acked.items():
            if seq > acked.get(key, 0):
                acked[key] = seq
        self._state.unsaved_acks.update(self._acked)
        self._state.backlog.extend(sorted(self._needed))
        for host, (rows, start, end) in self._lost.items():
            self._state.notes.append(
                f"{rows} rows of host {host} from {start} to {end} ms are lost: their catalogue is damaged."
            )

    def _entries(self, storage: ChunkStorage, reader: ChunkBodies) -> Iterator[tuple[int, EntryColumns]]:
        for number, received_ms, head in storage.log_heads():
            try:
                yield number, columns_of(unpack_head(number, head)) if head else read_whole(number, reader)[0]
            except (DamagedBatchError, DamagedChunkError, zstandard.ZstdError) as error:
                self._state.notes.append(
                    f"Log entry {number}, received at {received_ms} ms, is damaged ({error}); its rows are lost."
                )

    def _acknowledge(self, number: int, columns: EntryColumns) -> None:
        """Numbers of a stream grow from entry to entry, so the last of each is what is acknowledged."""
        seqs = columns.seqs
        if len(columns.keys) < len(seqs):
            seqs = np.zeros(len(columns.keys), dtype=np.int64)
            np.maximum.at(seqs, columns.places, columns.seqs)
        found = zip(columns.keys, seqs.tolist(), strict=True)
        if self._dropped:
            self._acked.update((key, seq) for key, seq in found if number > self._dropped.get(key[0], 0))
        else:
            self._acked.update(found)

    def _share_out(self) -> None:
        """Give each host its rows of the slab that are in no chunk."""
        if not self._slab:
            return
        hosts = np.concatenate([one for _, _, one in self._slab])
        columns = Logged(
            np.repeat([number for number, _, _ in self._slab], [len(one) for _, _, one in self._slab]),
            np.concatenate([np.arange(len(one), dtype=np.int32) for _, _, one in self._slab]),
            np.concatenate([one.timestamps for _, one, _ in self._slab]),
            np.concatenate([one.catalogues for _, one, _ in self._slab]).astype(np.int32),
        )
        self._slab, self._rows = [], 0
        order = np.argsort(hosts, kind="stable")
        order = order[columns.catalogues[order] >= 0]
        hosts = hosts[order]
        cuts = [0, *(np.flatnonzero(np.diff(hosts)) + 1).tolist(), len(hosts)]
        for start, end in itertools.pairwise(cuts):
            if start < end:
                chosen = order[start:end]
                self._keep(self._state.host(int(hosts[start])), Logged(*(column[chosen] for column in columns)))

    def _keep(self, host: HostState, rows: Logged) -> None:
        wanted = rows.after(max(host.sealed, host.dropped))
        if wanted is None:
            return
        known = np.isin(wanted.catalogues, [0, *self._state.catalogues.widths])
        if not known.all():
            times = wanted.timestamps[~known]
            count, start, end = self._lost.get(host.host, (0, int(times[0]), int(times[0])))
            self._lost[host.host] = count + len(times), min(start, int(times.min())), max(end, int(times.max()))
            wanted = Logged(*(column[known] for column in wanted))
        if wanted.rows:
            host.head.parts.append(wanted)
            host.head_since = UNKNOWN_AGE
            self._needed.update(np.unique(wanted.entries).tolist())
