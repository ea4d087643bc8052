"""Build the state in memory from the database: after a start, and after an input/output error."""

from __future__ import annotations

from cybercorp.store.timeseries.batches import DamagedBatchError, LogRow, unpack_batch
from cybercorp.store.timeseries.chunks import DamagedChunkError
from cybercorp.store.timeseries.rows import LatestRow
from cybercorp.store.timeseries.state import HeadRow, HostState, State
from cybercorp.store.timeseries.storage import ChunkStorage

MAX_ENTRY_BYTES = 1 << 30
_UNKNOWN_AGE = float("-inf")  # recovered rows are due for sealing at once


def load_state(storage: ChunkStorage) -> State:
    """Everything that was acknowledged: chunk index, and the rows that were in the log only."""
    loaded = storage.load()
    state = State()
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
    with storage.reader() as bodies:
        for number, received_ms, _ in storage.log_heads():
            try:
                with bodies.log_body(number) as read:
                    rows = unpack_batch(number, read(0, MAX_ENTRY_BYTES))
            except (DamagedBatchError, DamagedChunkError) as error:
                state.notes.append(
                    f"Log entry {number}, received at {received_ms} ms, is damaged ({error}); its rows are lost."
                )
                continue
            _recover(state, number, rows)
    return state


def _recover(state: State, batch: int, rows: list[LogRow]) -> None:
    heads: dict[int, list[HeadRow]] = {}
    for row in rows:
        host = state.host(row.host)
        if batch <= host.dropped:
            continue
        key = (row.host, row.stream)
        state.acked[key] = max(state.acked.get(key, 0), row.seq)
        state.unsaved_acks.add(key)
        if row.catalogue > 0 and row.catalogue not in state.catalogues.widths:
            state.notes.append(f"A row of host {row.host} at {row.timestamp_ms} ms is lost: its catalogue is damaged.")
        elif batch > host.sealed and row.catalogue >= 0:
            heads.setdefault(row.host, []).append(
                HeadRow(batch, row.timestamp_ms, row.received_ms, row.catalogue, row.body)
            )
    for number, found in heads.items():
        host = state.host(number)
        state.head_bytes += host.append(found, _UNKNOWN_AGE)
        samples = [row for row in found if row.catalogue]
        if samples:
            newest = samples[-1]
            host.latest = LatestRow(newest.timestamp_ms, state.catalogues.row(newest.catalogue).id, newest.body)
