"""What of the rows of a call is stored, and how stored rows become visible. Column by column: 1 µs a row.

The caller holds the writer's lock.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Sequence

from cybercorp.protocol.agents import RecordType
from cybercorp.store.timeseries.log.batches import Batch
from cybercorp.store.timeseries.log.head import ROW_OVERHEAD_BYTES, pack
from cybercorp.store.timeseries.rows import MAX_SEQ, MAX_TIMESTAMP_MS, RefusedRow, StoredRow, WriteReport
from cybercorp.store.timeseries.state import State
from cybercorp.store.timeseries.storage.contract import CatalogueRow

ACK_ONLY = -1
MAX_BATCH_BYTES = 16 * 1024**2
PACK_ROWS = 24  # a head is compressed when it has so many new rows, or a few more: not all hosts at once
_Kind = tuple[int, str, int]  # type, catalogue id, length of the body


def plan(state: State, rows: Sequence[StoredRow]) -> tuple[list[Batch], WriteReport]:
    """The batches to commit; a row that can never be stored is reported. The caller holds the state's lock."""
    refused: list[RefusedRow] = []
    new = rows if _are_new(state, rows) else _new_rows(state, rows, refused)
    if not new:
        return [], WriteReport(0, len(rows) - len(refused), refused)
    hosts, streams, seqs, times, received, types, ids, bodies = zip(*new, strict=True)
    kinds = list(zip(types, ids, map(len, bodies), strict=True))
    known = {kind: _place(state, kind) for kind in set(kinds)}
    catalogues = [known[kind][0] for kind in kinds]
    duplicates = len(rows) - len(refused) - len(new)
    if min(catalogues) < 0 or min(times) < 0 or max(times) >= MAX_TIMESTAMP_MS:
        for place, kind in enumerate(kinds):
            reason = known[kind][1]
            if kind[0] != RecordType.EVENT and not 0 <= times[place] < MAX_TIMESTAMP_MS:
                catalogues[place], reason = ACK_ONLY, "its time is out of range"
            if reason:
                refused.append(RefusedRow(hosts[place], streams[place], seqs[place], reason))
        bare = [catalogue < 0 for catalogue in catalogues]
        times = tuple(0 if one else time for one, time in zip(bare, times, strict=True))
        bodies = tuple(b"" if one else body for one, body in zip(bare, bodies, strict=True))
    batch = Batch(hosts, streams, seqs, times, received, catalogues, bodies)
    stored = len(new) - catalogues.count(ACK_ONLY)
    return _split(batch), WriteReport(stored, duplicates, refused)


def apply(state: State, number: int, batch: Batch, fresh: Iterable[CatalogueRow], now: float) -> None:
    """The batch is durable: make it visible. The caller holds the state's lock."""
    state.next_log = number + 1
    state.catalogues.stored(fresh)
    keys = list(zip(batch.hosts, batch.streams, strict=True))
    state.acked.update(zip(keys, batch.seqs, strict=True))
    state.unsaved_acks.update(dict.fromkeys(keys, number))
    rows = zip(itertools.repeat(number), batch.timestamps, batch.received, batch.catalogues, batch.bodies)
    known = state.hosts
    for host, row in zip(batch.hosts, rows, strict=True):
        catalogue = row[3]
        if catalogue < 0:
            continue
        one = known.get(host) or state.host(host)
        head = one.head
        if not head.tail and not head.parts:
            one.head_since = now
        head.tail.append(row)
        if catalogue:
            one.last = row
    stored = len(batch.seqs) - batch.catalogues.count(ACK_ONLY)
    state.head_bytes += sum(map(len, batch.bodies)) + ROW_OVERHEAD_BYTES * stored


def pack_heads(state: State, batch: Batch) -> None:
    """Memory is short: compress what the hosts of the batch have in memory. The state's lock is held for moments."""
    with state.lock:
        hosts = [found for host in set(batch.hosts) if (found := state.hosts.get(host)) is not None]
        heads = [one.head for one in hosts if len(one.head.tail) >= PACK_ROWS + one.host % PACK_ROWS]
        tails = [list(head.tail) for head in heads]
    parts = [pack(tail) for tail in tails]
    with state.lock:
        for head, tail, part in zip(heads, tails, parts, strict=True):
            state.head_bytes += head.swap(tail, part)


def _are_new(state: State, rows: Sequence[StoredRow]) -> bool:
    """The usual case: a row of each stream, with a number that is not acknowledged."""
    keys = [(row.host, row.stream) for row in rows]
    seqs = [row.seq for row in rows]
    acked = map(state.acked.get, keys, itertools.repeat(0))
    return len(set(keys)) == len(keys) and max(seqs, default=0) < MAX_SEQ and all(map(operator.lt, acked, seqs))


def _new_rows(state: State, rows: Sequence[StoredRow], refused: list[RefusedRow]) -> list[StoredRow]:
    """The rows with numbers that are not acknowledged."""
    acked: dict[tuple[int, str], int] = {}
    new: list[StoredRow] = []
    for row in rows:
        key = (row.host, row.stream)
        if not 0 < row.seq < MAX_SEQ:
            refused.append(RefusedRow(row.host, row.stream, row.seq, "its sequence number is out of range"))
        elif row.seq > (acked.get(key) or state.acked.get(key, 0)):
            acked[key] = row.seq
            new.append(row)
    return new


def _place(state: State, kind: _Kind) -> tuple[int, str]:
    """The number of the row's catalogue, 0 for a process table, ACK_ONLY and a reason for what is not stored."""
    type_, id_, length = kind
    if type_ == RecordType.EVENT:
        return ACK_ONLY, ""
    if type_ == RecordType.PROCESSES:
        return 0, ""
    if type_ != RecordType.SAMPLES:
        return ACK_ONLY, f"its type {type_} is unknown"
    catalogue = state.catalogues.find(id_)
    if catalogue is None:
        return ACK_ONLY, "its catalogue was never announced"
    if not length or length != catalogue.width * 8:
        return ACK_ONLY, f"its body has {length} bytes instead of {catalogue.width * 8}"
    return catalogue.number, ""


def _split(batch: Batch) -> list[Batch]:
    """Batches of at most MAX_BATCH_BYTES."""
    if sum(map(len, batch.bodies)) <= MAX_BATCH_BYTES:
        return [batch]
    cuts, size = [0], 0
    for place, body in enumerate(batch.bodies):
        if size and size + len(body) > MAX_BATCH_BYTES:
            cuts.append(place)
            size = 0
        size += len(body)
    cuts.append(len(batch.bodies))
    return [_cut(batch, slice(start, end)) for start, end in itertools.pairwise(cuts)]


def _cut(batch: Batch, rows: slice) -> Batch:
    hosts, streams, seqs, times, received, catalogues, bodies = batch
    numbers = (seqs[rows], times[rows], received[rows], catalogues[rows])
    return Batch(hosts[rows], streams[rows], *numbers, bodies[rows])
