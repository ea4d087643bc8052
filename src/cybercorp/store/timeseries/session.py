"""The opened store that writer, sealer and readers share: database, state, locks (write lock before state lock)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from cybercorp.core.errors import StorageBusyError, StorageError, StorageFullError
from cybercorp.store.timeseries.encryption import Encryption
from cybercorp.store.timeseries.loading import load_state
from cybercorp.store.timeseries.state import State, damage_of
from cybercorp.store.timeseries.storage.contract import ChunkEntry, ChunkStorage


class Session:
    """`write_lock` is held by whoever uses the writer connection; `state` is replaced only under it."""

    def __init__(self, storage: ChunkStorage) -> None:
        self.storage = storage
        self.encryption = Encryption()
        self.write_lock = threading.Lock()
        self.state: State = load_state(storage, self.encryption)
        self.failed = ""

    @contextlib.contextmanager
    def writing(self) -> Iterator[State]:
        """Hold the writer connection. After an input/output error it is opened anew first.

        Raises StorageError. Compare the state with the one you started from: it may have been read anew.
        """
        with self.write_lock:
            try:
                if self.failed:
                    self._recover()
                yield self.state
            except (StorageFullError, StorageBusyError):
                raise  # the database has rolled back, and the connection stays good
            except StorageError as error:
                self.failed = error.message
                raise

    def _recover(self) -> None:
        self.storage.reopen()
        state = load_state(self.storage, self.encryption)
        state.catalogues.adopt(self.state.catalogues)
        self.state = state
        self.failed = ""

    def note_damage(self, state: State, entry: ChunkEntry, slice_number: int, reason: str) -> None:
        """Remember a damaged chunk; `slice_number` −1 is the whole of it."""
        with state.lock:
            state.damaged[(entry.id, slice_number)] = damage_of(entry, reason)
            if slice_number < 0 and entry.id not in state.aside:
                state.suspects[entry.id] = entry

    def trim(self, state: State, up_to: int, step_bytes: int) -> int:
        """Delete log entries up to `up_to` in steps of about `step_bytes`; returns how many."""
        trimmed = 0
        while True:
            with self.writing() as current:
                if current is not state:
                    return trimmed
                numbers = self.storage.oldest_log(up_to, step_bytes)
                if not numbers:
                    return trimmed
                with state.lock:  # what a later entry tells needs no row of its own yet
                    last = [key for key, number in state.unsaved_acks.items() if number <= numbers[-1]]
                    streams = [(host, stream, state.acked[host, stream]) for host, stream in last]
                    next_log = state.next_log
                self.storage.trim_log(numbers[-1], next_log, streams)
                with state.lock:
                    for key in last:
                        state.unsaved_acks.pop(key, None)
                trimmed += len(numbers)
