"""What is dropped, and when: by age, by size, and what removed hosts left behind. Small steps beside `write`.

Each tier has an age of its own. Rows go by whole periods (four hours of a host), so that what is left of a period is
either all of it or only what came later. When space is short rows go first, then minutes, and hours last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cybercorp.core.clock import Clock
from cybercorp.store.timeseries.encoding.chunks import PROCESSES, SAMPLES
from cybercorp.store.timeseries.index import period_of, period_start
from cybercorp.store.timeseries.rollup_index import HOURS, MINUTES
from cybercorp.store.timeseries.rows import RetainReport
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.settings import DAY_MS, TimeSeriesSettings
from cybercorp.store.timeseries.state import State
from cybercorp.store.timeseries.storage.contract import ChunkEntry

STEP_CHUNKS = 32
STEP_BYTES = 4 * 1024**2
SHRINK_STEP_BYTES = 1024**2
SLACK_BYTES = 64 * 1024**2  # unused pages that are kept for the log, which grows and empties all the time
SIZE_TARGET = 0.95
DOUBT_S = 3600.0
_TRUSTED = "trusted_ms"
_DROPPED_FIRST = (SAMPLES, PROCESSES, MINUTES, HOURS)


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
        now, settings = self._clock.now_ms(), self._settings
        from_ms = {
            SAMPLES: now - settings.retention_ms,
            PROCESSES: now - settings.processes_retention_ms,
            MINUTES: now - settings.minutes_retention_ms,
            HOURS: now - settings.hours_retention_ms,
        }
        with state.lock:
            entries = [*state.entries(), *state.aside.values()]
        return [entry for entry in entries if _age_of(entry) < from_ms.get(entry.kind, 0)]

    def _too_much(self, state: State) -> list[ChunkEntry]:
        sizes = self._session.storage.sizes()
        used = sizes.file_bytes - sizes.unused_bytes
        with state.lock:
            entries = state.entries()
        entries.sort(key=lambda entry: (_DROPPED_FIRST.index(entry.kind), _age_of(entry), entry.host))
        chosen: list[ChunkEntry] = []
        for kind, most in ((MINUTES, self._settings.minutes_max_bytes), (HOURS, self._settings.hours_max_bytes)):
            if most is not None:
                of_kind = [entry for entry in entries if entry.kind == kind]
                chosen += _oldest(of_kind, sum(entry.size_bytes for entry in of_kind), most)
        gone = {entry.id for entry in chosen}
        used -= sum(entry.size_bytes for entry in chosen)
        return chosen + _oldest([one for one in entries if one.id not in gone], used, self._settings.max_bytes)

    def _drop(self, state: State, entries: Sequence[ChunkEntry]) -> list[ChunkEntry]:
        dropped: list[ChunkEntry] = []
        for step in _steps(sorted(entries, key=lambda entry: entry.kind)):
            with self._session.writing() as current:
                if current is not state:
                    return dropped
                with state.lock:
                    here = [one for one in step if state.holds(one) or one.id in state.aside]
                    aside = [one.id for one in here if one.id in state.aside]
                for kind in {one.kind for one in here}:
                    of_kind = [one for one in here if one.kind == kind]
                    before_ms = max(one.end_ms for one in of_kind) + 1
                    self._session.storage.drop_before(kind, before_ms, [one.id for one in of_kind])
                if aside:
                    self._session.storage.set_meta({f"{State.ASIDE}{number}": "" for number in aside})
                with state.lock:
                    for one in here:
                        if state.aside.pop(one.id, None) is None:
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


def _age_of(entry: ChunkEntry) -> int:
    """By which time a chunk counts: the end of what it belongs to, but no later than it was received."""
    if entry.kind == SAMPLES:
        end_ms = period_start(entry.host, period_of(entry.host, entry.end_ms) + 1)
        return min(end_ms, entry.received_ms)
    return min(entry.end_ms, entry.received_ms)


def _oldest(entries: Iterable[ChunkEntry], used: int, most: int) -> list[ChunkEntry]:
    """The first that must go for the rest to fit, a little more at a time than is needed."""
    if used <= most:
        return []
    excess = used - int(most * SIZE_TARGET)
    chosen: list[ChunkEntry] = []
    for entry in entries:
        if excess <= 0 and not (chosen and _goes_with(entry, chosen[-1])):
            break
        chosen.append(entry)
        excess -= entry.size_bytes
    return chosen


def _goes_with(entry: ChunkEntry, other: ChunkEntry) -> bool:
    """Whether both are rows of one period."""
    return (
        entry.kind == other.kind == SAMPLES
        and entry.host == other.host
        and period_of(entry.host, entry.start_ms) == period_of(other.host, other.start_ms)
    )


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
