"""How history is read: by many threads at once, while it is sealed, merged and dropped.

A reader takes a picture of the index and the unsealed rows under the state lock, then reads bodies without it. When a
chunk was merged or dropped in between, it looks again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from cybercorp.core.errors import StorageError
from cybercorp.store.timeseries.encoding.chunks import SAMPLES, ChunkReader, Read, read_from
from cybercorp.store.timeseries.log.unsealed import head_rows
from cybercorp.store.timeseries.rows import Floats
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import HeadRow, State
from cybercorp.store.timeseries.storage.contract import ChunkEntry, ChunkGoneError

ATTEMPTS = 100
WHOLE_CHUNK_BYTES = 32 * 1024
WHOLE_CHUNK_COLUMNS = 24
_FEW_COLUMNS = 6
_VALUE = struct.Struct("<d").unpack_from
_Found = TypeVar("_Found")


class Picture(NamedTuple):
    """What was known of a host at one moment, in order of arrival: first the chunks, then the unsealed rows."""

    entries: list[ChunkEntry]
    head: list[HeadRow]


def look(session: Session, attempt: Callable[[State], _Found]) -> _Found:
    """Call `attempt` until no chunk goes away while it reads. Raises StorageError."""
    for _ in range(ATTEMPTS):
        try:
            return attempt(session.state)
        except ChunkGoneError:
            continue
    raise StorageError("History changed too often while it was read.", hint="Try again.")


def take_picture(state: State, host: int, kind: int, start_ms: int, end_ms: int) -> Picture:
    """What may have rows of `[start_ms, end_ms)`; chunks may have others too. Raises ChunkGoneError, StorageError."""
    with state.lock:
        known = state.hosts.get(host)
        if known is None:
            return Picture([], [])
        parts, tail = known.head.picture()
        entries = known.index(kind).between(start_ms, end_ms)
    return Picture(entries, head_rows(state.log, parts, tail, start_ms, end_ms, samples=kind == SAMPLES))


def slices_of(entry: ChunkEntry, read: Read, columns: int) -> Read:
    """Small chunks, and those of which much is wanted, are read at once."""
    if entry.size_bytes > WHOLE_CHUNK_BYTES and columns < WHOLE_CHUNK_COLUMNS:
        return read
    return read_from(read(0, entry.size_bytes))


def tables_of(session: Session, entry: ChunkEntry, read: Read) -> ChunkReader:
    """A chunk of process tables, which may be encrypted."""
    decrypt = session.encryption.of_chunk(entry.host, entry.first, entry.last).decrypt
    return ChunkReader(read, entry.owner, 3, decrypt)


def head_columns(rows: Sequence[HeadRow], places: Sequence[int]) -> Floats:
    """Values of unsealed rows of one catalogue: [places, rows]. Of few columns no row is copied."""
    if len(places) > _FEW_COLUMNS:
        matrix = np.frombuffer(b"".join([row.body for row in rows]), dtype="<f8").reshape(len(rows), -1)
        return matrix.T[np.asarray(places, dtype=np.intp)]
    found = np.empty((len(places), len(rows)))
    for position, place in enumerate(places):
        offset = 8 * place
        found[position] = [_VALUE(row.body, offset)[0] for row in rows]
    return found
