"""Rows that were in the log only when the store was opened are brought into memory, packed, oldest first.

The background does a step before it seals: the sealer then finds rows that are due, and the log can be emptied.
"""

from __future__ import annotations

from cybercorp.store.timeseries.log.head import Packed, RowTuple, pack
from cybercorp.store.timeseries.log.unsealed import EntryColumns
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import UNKNOWN_AGE, State

RAW_BYTES = 32 * 1024**2  # so much is read before it is packed
PACKED_BYTES = 64 * 1024**2  # a step ends with so much in memory, or with
HOST_ROWS = 240  # so many rows of each host


def thaw(session: Session, state: State, *, raw_bytes: int = RAW_BYTES, host_rows: int = HOST_ROWS) -> int:
    """One step; returns how many log entries were read, 0 where nothing waits.

    The caller holds the lock of the background. Raises StorageError.
    """
    with state.lock:
        marks = {one.host: max(one.sealed, one.dropped) for one in state.hosts.values() if one.head.is_logged}
        if not marks:  # the hosts were removed
            state.backlog.clear()
        waiting = list(state.backlog)
        catalogues = {0, *state.catalogues.widths}
    entries = rows = size = 0
    while entries < len(waiting) and size < PACKED_BYTES and rows < host_rows * len(marks):
        read = _Rows(marks, catalogues)
        for number, columns, bodies in state.log.entries(waiting[entries:]):
            entries += 1
            if columns is not None:
                read.add(number, columns, bodies)
            if read.size_bytes >= raw_bytes:
                break
        rows += read.count
        packed = {host: pack(found) for host, found in read.found.items()}
        grown = _keep(session, state, waiting[entries - 1], packed)
        if grown is None:
            return 0
        size += grown
    return entries


class _Rows:
    """Rows of log entries by host, in order of arrival: those behind the host's mark, with a known catalogue."""

    def __init__(self, marks: dict[int, int], catalogues: set[int]) -> None:
        self._marks = marks
        self._catalogues = catalogues
        self.found: dict[int, list[RowTuple]] = {}
        self.count = 0
        self.size_bytes = 0

    def add(self, number: int, columns: EntryColumns, bodies: list[bytes | None]) -> None:
        numbers = (columns.hosts, columns.timestamps, columns.received, columns.catalogues)
        marks, catalogues, found = self._marks, self._catalogues, self.found
        for host, time, received, catalogue, body in zip(*(one.tolist() for one in numbers), bodies, strict=True):
            if body is not None and catalogue in catalogues and marks.get(host, number) < number:
                found.setdefault(host, []).append((number, time, received, catalogue, body))
                self.count += 1
                self.size_bytes += len(body)


def _keep(session: Session, state: State, up_to: int, packed: dict[int, Packed]) -> int | None:
    """Put the rows in the place of what was in the log only; returns their bytes, None where the state is outdated."""
    if session.state is not state:
        return None
    with state.lock:
        grown = 0
        for host in state.hosts.values():
            if host.head.is_logged:
                grown += host.head.thaw(up_to, packed.get(host.host))
                host.head_since = UNKNOWN_AGE
        state.head_bytes += grown
        while state.backlog and state.backlog[0] <= up_to:
            state.backlog.popleft()
    return grown
