"""Verify the whole store: the database's own check, every checksum of chunks and log, and what was noted before."""

from __future__ import annotations

from cybercorp.store.timeseries.encoding.chunks import ChunkReader, DamagedChunkError, read_from
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import State
from cybercorp.store.timeseries.storage.contract import ChunkBodies, ChunkEntry, ChunkGoneError
from cybercorp.store.timeseries.upkeep.quarantine import slices_of_entry


def check_store(session: Session) -> list[str]:
    """What is wrong, one sentence each; nothing where all is well."""
    state = session.state
    with state.lock:
        entries = state.entries()
        backlog = list(state.backlog)
    with session.storage.reader() as bodies:
        for entry in entries:
            _check_chunk(session, state, bodies, entry)
    state.log.check(backlog)
    with state.lock:
        found = [*state.notes, *state.damaged.values()]
    return found + [f"The database reports: {one}" for one in session.storage.check()]


def _check_chunk(session: Session, state: State, bodies: ChunkBodies, entry: ChunkEntry) -> None:
    try:
        with bodies.open(entry.id) as read:
            whole = read(0, entry.size_bytes)
        ChunkReader(read_from(whole), entry.owner, slices_of_entry(state, entry)).check()
    except ChunkGoneError:
        return  # merged or dropped meanwhile
    except DamagedChunkError as error:
        session.note_damage(state, entry, -1, str(error))
