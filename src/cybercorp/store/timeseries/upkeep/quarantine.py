"""Damaged chunks are set aside: out of the index, for good, and told; never read, never merged.

A reader that finds a chunk damaged notes it; here, in the background, it is read again, and what is damaged still is
set aside durably. A damaged rollup whose finer history is all there is dropped instead, and made anew from that.
"""

from __future__ import annotations

from cybercorp.store.timeseries.encoding.chunks import SAMPLES, ChunkReader, DamagedChunkError, read_from
from cybercorp.store.timeseries.encoding.rollup_chunks import SHARED_SLICES
from cybercorp.store.timeseries.index import MINUTE_MS, PERIOD_MS, period_of
from cybercorp.store.timeseries.rollup_index import DAY_PERIODS, HOURS, MINUTES
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import HostState, State
from cybercorp.store.timeseries.storage.contract import ChunkEntry, ChunkGoneError

WHOLE = -1
_SHARED = {SAMPLES: 1, MINUTES: SHARED_SLICES, HOURS: SHARED_SLICES}


def slices_of_entry(state: State, entry: ChunkEntry) -> int:
    """How many slices a chunk has, by its kind and catalogue."""
    with state.lock:
        return state.catalogues.widths.get(entry.catalogue, 0) + _SHARED.get(entry.kind, 3)


class Quarantine:
    """One at a time: the caller holds a lock around `isolate`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def isolate(self, state: State) -> list[str]:
        """Set aside what readers found damaged; one sentence for each. Raises StorageError."""
        with state.lock:
            suspects = list(state.suspects.values())
            state.suspects.clear()
        told = []
        for entry in suspects:
            reason = self._damage(state, entry)
            if reason:
                sentence = self._isolate(state, entry, reason)
                told += [sentence] if sentence else []
        return told

    def _damage(self, state: State, entry: ChunkEntry) -> str:
        """Why the chunk cannot be used; empty where it can: a read may have failed for another reason."""
        try:
            with self._session.storage.reader() as bodies, bodies.open(entry.id) as read:
                chunk = ChunkReader(read_from(read(0, entry.size_bytes)), entry.owner, slices_of_entry(state, entry))
                if entry.kind in (MINUTES, HOURS):
                    chunk.check()
                else:
                    chunk.timestamps()
        except ChunkGoneError:
            return ""
        except DamagedChunkError as error:
            return str(error)
        return ""

    def _isolate(self, state: State, entry: ChunkEntry, reason: str) -> str:
        with self._session.writing() as current:
            with state.lock:
                host = state.hosts.get(entry.host)
                if current is not state or host is None or not state.holds(entry):
                    return ""
                finer = _can_be_made_anew(host, entry)
                gone = _made_with(host, entry) if finer else [entry]
            if finer:
                self._session.storage.delete_chunks([one.id for one in gone])
            else:
                self._session.storage.set_meta({f"{State.ASIDE}{entry.id}": reason})
            with state.lock:
                for one in gone:
                    host.index(one.kind).remove(one)
                if entry.kind in (MINUTES, HOURS):
                    _reopen(host, entry)
                if finer:
                    for one in gone:
                        state.forget_damage(one.id)
                    return f"Rollup {entry.id} of host {entry.host} was damaged ({reason}) and is made anew."
                return state.set_aside(entry, reason)


def _can_be_made_anew(host: HostState, entry: ChunkEntry) -> bool:
    """Whether the rows (or, for hours, the minutes) that a rollup was made of are all there."""
    finer = {MINUTES: [host.samples.bounds()], HOURS: [host.samples.bounds(), host.minutes.bounds()]}
    return any(one is not None and one[0] < entry.start_ms + MINUTE_MS for one in finer.get(entry.kind, []))


def _made_with(host: HostState, entry: ChunkEntry) -> list[ChunkEntry]:
    """The chunks of the same set, itself among them: they cover what they do together."""
    key = (entry.last, entry.start_ms, entry.end_ms)
    return [one for one in host.index(entry.kind) if (one.last, one.start_ms, one.end_ms) == key]


def _reopen(host: HostState, entry: ChunkEntry) -> None:
    """Its periods and days are looked at again."""
    first, last = period_of(host.host, entry.start_ms), period_of(host.host, entry.end_ms)
    for period in range(first, last + 1):
        if host.samples.of_period(period):
            host.samples.unsettled.setdefault(period, entry.received_ms - PERIOD_MS)
    host.minutes.unsettled.update(range(first // DAY_PERIODS, last // DAY_PERIODS + 1))
