"""What is dropped, and when: by age, by size, and what removed hosts left behind. Small steps beside `write`."""

from __future__ import annotations

from collections.abc import Sequence

from cybercorp.core.clock import Clock
from cybercorp.store.timeseries.chunks import SAMPLES
from cybercorp.store.timeseries.rows import RetainReport
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.settings import DAY_MS, TimeSeriesSettings
from cybercorp.store.timeseries.state import State
from cybercorp.store.timeseries.storage import ChunkEntry

STEP_CHUNKS = 32
STEP_BYTES = 4 * 1024**2
SHRINK_STEP_BYTES = 1024**2
SLACK_BYTES = 64 * 1024**2  # unused pages that are kept for the log, which grows and empties all the time
SIZE_TARGET = 0.95
DOUBT_S = 3600.0
_TRUSTED = "trusted_ms"


class Retention:
    """One at a time: the caller holds a lock around `retain`."""

    def __init__(self, session: Session, clock: Clock, settings: TimeSeriesSettings) -> None:
        self._session = session
        self._clock = clock
        self._settings = settings
        self._doubt_since: float | None = None
        stored = session.storage.meta().get(_TRUSTED)
        self._trusted_ms = int(stored) if stored else clock.now_ms()
        self._trusted_at = clock.monotonic()

    def retain(self) -> RetainReport:
        """Drop what is too old, then the oldest until the rest fits. Raises StorageError."""
        state = self._session.state
        self._forget_doomed(state)
        held = self._doubt()
        dropped = [] if held else self._drop(state, self._too_old(state))
        dropped += self._drop(state, self._too_much(state))
        self._delete_catalogues(state)
        self._shrink()
        return RetainReport(
            chunks=len(dropped),
            rows=sum(entry.rows for entry in dropped),
            size_bytes=sum(entry.size_bytes for entry in dropped),
            oldest_ms=min((entry.start_ms for entry in dropped), default=None),
            newest_ms=max((entry.end_ms for entry in dropped), default=None),
            held=held,
        )

    def _doubt(self) -> str:
        """Why the wall clock is not believed: a jump forward must not delete history at once.

        A clock more than a day ahead of what passed since it was last believed is believed after an hour.
        """
        now, monotonic = self._clock.now_ms(), self._clock.monotonic()
        expected = self._trusted_ms + (monotonic - self._trusted_at) * 1000
        if now - expected > DAY_MS:
            if self._doubt_since is None:
                self._doubt_since = monotonic
            left = DOUBT_S - (monotonic - self._doubt_since)
            if left > 0:
                days = (now - expected) / DAY_MS
                return f"The clock is {days:.0f} days ahead of before; dropping by age waits {left / 60:.0f} minutes."
        self._doubt_since = None
        if now != self._trusted_ms:
            self._trusted_ms, self._trusted_at = now, monotonic
            with self._session.writing():
                self._session.storage.set_meta({_TRUSTED: str(now)})
        return ""

    def _too_old(self, state: State) -> list[ChunkEntry]:
        now = self._clock.now_ms()
        samples_from, processes_from = now - self._settings.retention_ms, now - self._settings.processes_retention_ms
        with state.lock:
            entries = state.entries()
        return [
            entry
            for entry in entries
            if min(entry.end_ms, entry.received_ms) < (samples_from if entry.kind == SAMPLES else processes_from)
        ]

    def _too_much(self, state: State) -> list[ChunkEntry]:
        sizes = self._session.storage.sizes()
        used = sizes.file_bytes - sizes.unused_bytes
        if used <= self._settings.max_bytes:
            return []
        excess = used - int(self._settings.max_bytes * SIZE_TARGET)
        with state.lock:
            entries = state.entries()
        entries.sort(key=lambda entry: min(entry.end_ms, entry.received_ms))
        chosen = []
        for entry in entries:
            if excess <= 0:
                break
            chosen.append(entry)
            excess -= entry.size_bytes
        return chosen

    def _drop(self, state: State, entries: Sequence[ChunkEntry]) -> list[ChunkEntry]:
        dropped: list[ChunkEntry] = []
        for step in _steps(entries):
            with self._session.writing() as current:
                if current is not state:
                    return dropped
                with state.lock:
                    here = [one for one in step if state.holds(one)]
                self._session.storage.delete_chunks([one.id for one in here])
                with state.lock:
                    for one in here:
                        state.hosts[one.host].index(one.kind).remove(one)
                        state.forget_damage(one.id)
            dropped.extend(here)
        return dropped

    def _forget_doomed(self, state: State) -> None:
        while True:
            with self._session.writing() as current:
                if current is not state:
                    return
                with state.lock:
                    step = state.doomed[:STEP_CHUNKS]
                if not step:
                    return
                self._session.storage.delete_chunks(step)
                with state.lock:
                    del state.doomed[: len(step)]

    def _delete_catalogues(self, state: State) -> None:
        with self._session.writing() as current:
            if current is not state:
                return
            with state.lock:
                used = {entry.catalogue for entry in state.entries()}
                used = used.union(*(host.head.catalogues() for host in state.hosts.values()))
                unused = state.catalogues.unused(used)
            if unused:
                self._session.storage.delete_catalogues(unused)
                with state.lock:
                    state.catalogues.delete(unused)

    def _shrink(self) -> None:
        sizes = self._session.storage.sizes()
        excess = sizes.unused_bytes - max(SLACK_BYTES, sizes.file_bytes // 10)
        while excess > 0:
            with self._session.writing():
                self._session.storage.shrink(SHRINK_STEP_BYTES)
            excess -= SHRINK_STEP_BYTES


def _steps(entries: Sequence[ChunkEntry]) -> list[list[ChunkEntry]]:
    steps: list[list[ChunkEntry]] = []
    size = 0
    for entry in entries:
        if not steps or len(steps[-1]) >= STEP_CHUNKS or size + entry.size_bytes > STEP_BYTES:
            steps.append([])
            size = 0
        steps[-1].append(entry)
        size += entry.size_bytes
    return steps
