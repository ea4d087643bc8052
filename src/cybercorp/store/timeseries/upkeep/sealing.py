"""The sealer: turns unsealed rows into chunks, small chunks into long ones, and empties the log behind itself.

It runs in a background thread beside `write`. Encoding happens without any lock; each transaction holds the write lock
for some milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.core.clock import Clock
from cybercorp.core.errors import StorageCorruptError
from cybercorp.store.timeseries.encoding.chunks import (
    PROCESSES,
    SAMPLES,
    ChunkReader,
    DamagedChunkError,
    encode_processes,
    encode_samples,
    read_from,
)
from cybercorp.store.timeseries.index import bucket_of, phase_of
from cybercorp.store.timeseries.log.head import rows_of
from cybercorp.store.timeseries.rows import SealReport
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import HeadRow, HostState, State
from cybercorp.store.timeseries.storage.contract import ChunkEntry, ChunkGoneError, HostMark
from cybercorp.store.timeseries.upkeep.quarantine import Quarantine
from cybercorp.store.timeseries.upkeep.settling import Settler

GROUP_HOSTS = 16
GROUP_BYTES = 2 * 1024**2
MAX_BLOCK_ROWS = 240  # a host that drains its spool is sealed sooner
MAX_BLOCK_BYTES = 1024**2
MAX_MERGES = 64
MERGED_VALUES = 1 << 20
SETTLED_CHUNKS = 32
TRIM_BYTES = 4 * 1024**2


class _Taken(NamedTuple):
    """The rows of a host that one step seals, and the blocks made of them."""

    host: HostState
    rows: list[HeadRow]
    blocks: list[tuple[ChunkEntry, bytes]]


class Sealer:
    """One at a time: the caller holds a lock around `seal`."""

    def __init__(self, session: Session, clock: Clock, block_s: float) -> None:
        self._session = session
        self._clock = clock
        self._block_s = block_s
        self._settler = Settler(session, clock, self._merge_run)
        self._quarantine = Quarantine(session)
        self._keyless: set[int] = set()  # chunks that no key here opens: they stay as they are

    def seal(self, *, everything: bool = False) -> SealReport:
        """Seal what is due (or `everything`), merge, empty the log, roll up what is over. Raises StorageError."""
        state = self._session.state
        with state.lock:
            due = [host for host in state.hosts.values() if host.head.ready and (everything or self._is_due(host))]
        hosts = rows = chunks = 0
        for group in self._groups(due):
            done = self._seal_group(state, group)
            hosts += len(done)
            rows += sum(len(one.rows) for one in done)
            chunks += sum(len(one.blocks) for one in done)
        merged, pending = self._merge(state)
        trimmed = self._trim(state)
        settled, unsettled = self._settler.settle(state)
        damaged = self._quarantine.isolate(state)
        return SealReport(hosts, rows, chunks, merged, trimmed, pending or unsettled, settled, tuple(damaged))

    def _is_due(self, host: HostState) -> bool:
        waited = self._clock.monotonic() - host.head_since
        first = not host.sealed and not host.samples
        # The first block of a host is shorter, each by another part, so that hosts do not come due all at once.
        block_s = self._block_s * (phase_of(host.host) if first else 1.0)
        return waited >= block_s or host.head.ready >= MAX_BLOCK_ROWS or host.head_bytes >= MAX_BLOCK_BYTES

    @staticmethod
    def _groups(due: Sequence[HostState]) -> Iterator[list[HostState]]:
        group: list[HostState] = []
        size = 0
        for host in due:
            if group and (len(group) >= GROUP_HOSTS or size + host.head_bytes > GROUP_BYTES):
                yield group
                group, size = [], 0
            group.append(host)
            size += host.head_bytes
        if group:
            yield group

    def _seal_group(self, state: State, group: Sequence[HostState]) -> list[_Taken]:
        with state.lock:
            heads = [(host, host.head.take()) for host in group]
        taken = [_Taken(host, rows_of(*head), []) for host, head in heads]
        for one in taken:
            one.blocks.extend(self._encode(state, one.host, one.rows))
        with self._session.writing() as current:
            if current is not state:
                return []
            with state.lock:  # a host may have been dropped while its rows were encoded
                taken = [one for one in taken if one.rows and state.hosts.get(one.host.host) is one.host]
                blocks = [self._numbered(state, entry, body) for one in taken for entry, body in one.blocks]
            if not taken:
                return []
            marks = [HostMark(one.host.host, one.rows[-1].batch, one.host.dropped) for one in taken]
            self._session.storage.add_chunks(blocks, marks)
            now = self._clock.monotonic()
            with state.lock:
                for entry, _ in blocks:
                    state.hosts[entry.host].index(entry.kind).add(entry)
                for one in taken:
                    state.head_bytes -= one.host.forget_sealed(len(one.rows), one.rows[-1].batch, now)
        return taken

    @staticmethod
    def _numbered(state: State, entry: ChunkEntry, body: bytes) -> tuple[ChunkEntry, bytes]:
        number = state.next_chunk
        state.next_chunk += 1
        return entry._replace(id=number), body

    def _encode(self, state: State, host: HostState, rows: Sequence[HeadRow]) -> Iterator[tuple[ChunkEntry, bytes]]:
        for kind in (SAMPLES, PROCESSES):
            block = (host.samples if kind == SAMPLES else host.processes).next_block
            of_kind = [row for row in rows if (row.catalogue != 0) is (kind == SAMPLES)]
            for part in _parts(host.host, of_kind):
                catalogue = part[0].catalogue
                times = np.array([row.timestamp_ms for row in part], dtype=np.int64)
                bodies = [row.body for row in part]
                if kind == SAMPLES:
                    values = np.frombuffer(b"".join(bodies), dtype="<f8").reshape(len(part), -1)
                    body = encode_samples((host.host, catalogue), times, values, lasting=False)
                else:
                    place = self._session.encryption.of_chunk(host.host, block, block)
                    body = encode_processes((host.host, 0), times, bodies, place.encrypt)
                received = max(row.received_ms for row in part)
                yield _entry(host.host, kind, catalogue, block, block, times, len(body), received), body
                block += 1

    def _merge(self, state: State) -> tuple[int, bool]:
        with state.lock:
            hosts = list(state.hosts.values())
        now_ms, runs = self._clock.now_ms(), []
        for host in hosts:
            with state.lock:  # host by host: the writer waits for one, not for all
                for index in (host.samples, host.processes):
                    if index.is_divided:
                        found = index.runs(
                            now_ms=now_ms,
                            longest_values=MERGED_VALUES,
                            settled=SETTLED_CHUNKS,
                            widths=state.catalogues.widths,
                        )
                        runs += [
                            run
                            for run in found
                            if not any(state.is_damaged(one.id) or one.id in self._keyless for one in run)
                        ]
            if len(runs) > MAX_MERGES:
                break
        merged = sum(self._merge_run(state, run) for run in runs[:MAX_MERGES])
        return merged, len(runs) > MAX_MERGES

    def _merge_run(self, state: State, run: Sequence[ChunkEntry]) -> bool:
        try:
            body, times = self._merged(state, run)
        except ChunkGoneError:
            return False
        first, last = run[0], run[-1]
        received = max(entry.received_ms for entry in run)
        made = _entry(first.host, first.kind, first.catalogue, first.first, last.last, times, len(body), received)
        with self._session.writing() as current:
            with state.lock:
                host = state.hosts.get(first.host)
                held = host.index(first.kind).between(int(times.min()), int(times.max()) + 1) if host else []
                if current is not state or not host or not set(run) <= set(held):
                    return False
                made, _ = self._numbered(state, made, body)
            self._session.storage.replace_chunks([entry.id for entry in run], made, body)
            with state.lock:
                index = host.index(first.kind)
                for entry in run:
                    index.remove(entry)
                index.add(made)
        return True

    def _merged(self, state: State, run: Sequence[ChunkEntry]) -> tuple[bytes, np.ndarray]:
        """One body of all. A damaged chunk is noted and its run left alone: damage must not be made to look sound."""
        kind, catalogue = run[0].kind, run[0].catalogue
        with state.lock:
            columns = state.catalogues.widths[catalogue] if kind == SAMPLES else 2
        times, bodies = [], []
        values = np.empty((columns, sum(entry.rows for entry in run)) if kind == SAMPLES else (0, 0)).T
        at = 0
        with self._session.storage.reader() as reader:
            for entry in run:
                try:
                    with reader.open(entry.id) as read:
                        whole = read(0, entry.size_bytes)
                    place = self._session.encryption.of_chunk(entry.host, entry.first, entry.last)
                    chunk = ChunkReader(read_from(whole), entry.owner, columns + 1, place.decrypt)
                    times.append(chunk.timestamps())
                    if kind == SAMPLES:
                        if chunk.rows != entry.rows:
                            raise DamagedChunkError(f"it has {chunk.rows} rows instead of {entry.rows}")
                        chunk.matrix(values[at : at + chunk.rows], range(columns))
                        at += chunk.rows
                    else:
                        bodies.extend(chunk.bodies())
                except DamagedChunkError as error:
                    self._session.note_damage(state, entry, -1, str(error))
                    raise ChunkGoneError from error
                except StorageCorruptError as error:
                    if error.error_code != "key_missing":
                        raise
                    self._keyless.add(entry.id)
                    raise ChunkGoneError from error
        joined = np.concatenate(times)
        if kind == SAMPLES:
            return encode_samples(run[0].owner, joined, values, lasting=True), joined
        place = self._session.encryption.of_chunk(run[0].host, run[0].first, run[-1].last)
        return encode_processes(run[0].owner, joined, bodies, place.encrypt), joined

    def _trim(self, state: State) -> int:
        """Delete the log entries that no unsealed row needs, in small steps; returns how many."""
        with state.lock:
            needed = min((host.head.first_batch for host in state.hosts.values() if host.head), default=state.next_log)
            up_to = needed - 1
        return self._session.trim(state, up_to, TRIM_BYTES)


def _parts(host: int, rows: Sequence[HeadRow]) -> Iterator[list[HeadRow]]:
    """Rows cut where the catalogue or the bucket changes, so that parts follow each other in order of arrival."""
    times = [row.timestamp_ms for row in rows]
    if (
        rows
        and bucket_of(host, min(times)) == bucket_of(host, max(times))
        and len({row.catalogue for row in rows}) == 1
    ):
        yield list(rows)
        return
    part: list[HeadRow] = []
    place = None
    for row in rows:
        here = (row.catalogue, bucket_of(host, row.timestamp_ms))
        if part and here != place:
            yield part
            part = []
        place = here
        part.append(row)
    if part:
        yield part


def _entry(
    host: int, kind: int, catalogue: int, first: int, last: int, times: np.ndarray, size: int, received: int
) -> ChunkEntry:
    start, end = int(times.min()), int(times.max())
    return ChunkEntry(
        0, host, kind, catalogue, bucket_of(host, start), first, last, start, end, len(times), size, received
    )
