"""After a rotation of the data key: process tables that an older key opens, or none, are written with the current one.

A few chunks at a time, while the store is written and read. What is in the log goes into chunks by itself, within
minutes. When a walk is over, the database notes its key, so that a start has nothing to look for.
"""

from __future__ import annotations

from collections import deque

from cybercorp.core.errors import StorageCorruptError
from cybercorp.store.timeseries.encoding.chunks import PROCESSES, ChunkReader, DamagedChunkError, read_from
from cybercorp.store.timeseries.encryption import PLAIN, key_of
from cybercorp.store.timeseries.reading.pictures import tables_of
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import State
from cybercorp.store.timeseries.storage.contract import ChunkEntry, ChunkGoneError

ENCRYPTED_WITH = "encrypted_with"
_HEAD_BYTES = 64


class Reencrypter:
    """One at a time: the caller holds the lock of the background around `step`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._state: State | None = None
        self._key = PLAIN
        self._log_mark = 0
        self._waiting: deque[ChunkEntry] = deque()
        self._done = PLAIN

    @property
    def waiting(self) -> int:
        """Chunks that are to be looked at yet."""
        return len(self._waiting)

    def step(self, chunks: int) -> bool:
        """Look at some chunks; whether everything is encrypted with the current key. Raises StorageError."""
        vault, state = self._session.encryption.vault, self._session.state
        if vault is None:
            return True
        if self._state is not state or self._key != vault.current:
            self._begin(state, vault.current)
        if self._done == self._key:
            return True
        for _ in range(min(chunks, len(self._waiting))):
            self._look(state, self._waiting[0])
            self._waiting.popleft()
        if self._waiting:
            return False
        with self._session.writing() as current:
            if current is not state or self._session.storage.oldest_log(self._log_mark, 0):
                return False
            self._session.storage.set_meta({ENCRYPTED_WITH: str(self._key)})
        self._done = self._key
        return True

    def _begin(self, state: State, key: int) -> None:
        with self._session.writing():
            noted = self._session.storage.meta().get(ENCRYPTED_WITH)
        with state.lock:
            found = [entry for entry in state.entries() if entry.kind == PROCESSES]
            self._log_mark = state.next_log - 1
        self._state, self._key, self._waiting = state, key, deque(found)
        self._done = PLAIN
        if noted == str(key):
            self._done = key
            self._waiting.clear()

    def _look(self, state: State, entry: ChunkEntry) -> None:
        try:
            with self._session.storage.reader() as bodies, bodies.open(entry.id) as read:
                if key_of(ChunkReader(read, entry.owner, 3).tables_head(_HEAD_BYTES)) == self._key:
                    return
                chunk = tables_of(self._session, entry, read_from(read(0, entry.size_bytes)))
                body = chunk.encrypted(self._session.encryption.of_chunk(entry.host, entry.first, entry.last).encrypt)
        except ChunkGoneError:
            return  # dropped meanwhile, or merged: that was with the current key
        except StorageCorruptError as error:
            if error.error_code != "key_missing":
                raise
            return  # no key here opens it, nor will another one
        except (DamagedChunkError, ValueError) as error:
            self._session.note_damage(state, entry, -1, str(error))
            return
        with self._session.writing() as current:
            with state.lock:
                host = state.hosts.get(entry.host)
                if current is not state or host is None or not state.holds(entry):
                    return
                made = entry._replace(id=state.next_chunk, size_bytes=len(body))
                state.next_chunk += 1
            self._session.storage.replace_chunks([entry.id], made, body)
            with state.lock:
                host.processes.remove(entry)
                host.processes.add(made)
