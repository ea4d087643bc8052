"""The time-series store: what the server writes samples to and asks for history.

    write()           one thread; durable on return
    query(), …_at()   any thread, read-only connections
    seal(), retain()  one background thread; never holds the writer for long

Rows of one host are kept in order of arrival. Of two rows with one timestamp the later one counts; rows may come late
and with a clock that was set back.
"""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from cybercorp.core.clock import Clock
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.metrics import Aggregation, Catalogue
from cybercorp.protocol.processes import ProcessTable
from cybercorp.store.timeseries.batches import LogRow, pack_batch
from cybercorp.store.timeseries.checking import check_store
from cybercorp.store.timeseries.instants import Instants
from cybercorp.store.timeseries.queries import Queries
from cybercorp.store.timeseries.retention import Retention
from cybercorp.store.timeseries.rows import (
    MAX_SEQ,
    MAX_TIMESTAMP_MS,
    LatestRow,
    RefusedRow,
    RetainReport,
    SealReport,
    Selection,
    SeriesResult,
    StoredRow,
    TimeSeriesStats,
    WriteReport,
)
from cybercorp.store.timeseries.sealing import Sealer
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.spans import RowBlock, Spans
from cybercorp.store.timeseries.sqlite import SqliteStorage
from cybercorp.store.timeseries.state import HeadRow, State
from cybercorp.store.timeseries.storage import CatalogueRow, ChunkStorage, HostMark, LogEntry

ACK_ONLY = -1
MAX_BATCH_BYTES = 16 * 1024**2
_COMMITS_KEPT = 1000


class TimeSeries:
    """One per process and file. See the module for which thread may call what."""

    @classmethod
    def open(cls, path: Path, settings: TimeSeriesSettings, clock: Clock) -> TimeSeries:
        """Open or create the SQLite file at `path`.

        Raises StorageCorruptError, StorageNewerError, StorageUnwritableError, StorageFullError, and ConflictError
        (`storage_in_use`).
        """
        storage = SqliteStorage(path)
        try:
            return cls(storage, path, settings, clock)
        except BaseException:
            storage.close()
            raise

    def __init__(self, storage: ChunkStorage, path: Path, settings: TimeSeriesSettings, clock: Clock) -> None:
        self._path = path
        self._settings = settings
        self._clock = clock
        self._session = Session(storage)
        self._queries = Queries(self._session)
        self._instants = Instants(self._session)
        self._spans = Spans(self._session)
        self._sealer = Sealer(self._session, clock, settings.block_s)
        self._retention = Retention(self._session, clock, settings)
        self._background = threading.RLock()
        self._commits = 0
        self._commit_ms: deque[float] = deque(maxlen=_COMMITS_KEPT)

    def register_catalogue(self, host: int, catalogue: Catalogue) -> None:
        """Make a catalogue known, durably with the first row that needs it. Check it before: `check_catalogue`."""
        state = self._session.state
        with state.lock:
            state.catalogues.register(host, catalogue)

    def knows_catalogue(self, host: int, catalogue_id: str) -> bool:
        """Whether rows with this catalogue can be written. Ids come from the content, so every host may use it."""
        state = self._session.state
        with state.lock:
            return state.catalogues.find(catalogue_id) is not None

    def write(self, rows: Sequence[StoredRow]) -> WriteReport:
        """Store rows; they are durable when this returns.

        Rows with a sequence number that is acknowledged already are ignored. Rows that can never be stored (an unknown
        catalogue, a body of the wrong length, a time out of range) are acknowledged and reported.
        Raises StorageFullError, StorageError: send the same rows again later; nothing is stored twice.
        """
        if self._session.state.head_bytes > self._settings.head_max_bytes:
            self.seal()  # more arrives than the background can seal: let the senders wait
        with self._session.writing() as state:
            kept, report = self._plan(state, rows)
            for batch in _split(kept):
                self._commit(state, batch)
            state.refused += len(report.refused)
            return report

    def acked_seq(self, host: int, stream: str) -> int:
        """Everything up to this number is durable; 0 where nothing is."""
        state = self._session.state
        with state.lock:
            return state.acked.get((host, stream), 0)

    def latest(self, host: int) -> LatestRow | None:
        """The row of samples that arrived last, also after a restart."""
        return self._instants.latest(host)

    def catalogue_at(self, host: int, at_ms: int | None = None) -> Catalogue | None:
        """The catalogue of the newest row at or before `at_ms`; of the last row where no time is given."""
        return self._instants.catalogue_at(host, at_ms)

    def query(
        self,
        selections: Sequence[Selection],
        start_ms: int,
        end_ms: int,
        step_ms: int,
        aggregation: Aggregation,
        quantile: float | None = None,
    ) -> list[SeriesResult]:
        """Aggregate to ⌈(end − start) / step⌉ values a series; point i covers `[start+i*step, start+(i+1)*step)`.

        Series are selected over all catalogues that have rows in the range, and one series is joined across them.
        """
        return self._queries.query(selections, start_ms, end_ms, step_ms, Aggregation(aggregation), quantile)

    def row_at(self, host: int, at_ms: int, within_ms: int) -> LatestRow | None:
        """The newest row of samples at or before `at_ms`, at most `within_ms` older."""
        return self._instants.row_at(host, at_ms, within_ms)

    def processes_at(self, host: int, at_ms: int, within_ms: int) -> ProcessTable | None:
        """The newest recorded process table at or before `at_ms`, at most `within_ms` older."""
        return self._instants.processes_at(host, at_ms, within_ms)

    def rows(self, host: int, start_ms: int, end_ms: int) -> Iterator[RowBlock]:
        """Every row of samples of a host in `[start_ms, end_ms)`, as it was stored, half an hour at a time."""
        return self._spans.rows(host, start_ms, end_ms)

    def bounds(self, host: int | None = None) -> tuple[int, int] | None:
        """The oldest and the newest timestamp of samples and process tables, of one host or of all."""
        state = self._session.state
        with state.lock:
            hosts = list(state.hosts.values()) if host is None else [one for one in [state.hosts.get(host)] if one]
            spans = [span for one in hosts for index in (one.samples, one.processes) if (span := index.bounds())]
            times = [row.timestamp_ms for one in hosts for row in one.head]
        if not spans and not times:
            return None
        return min([low for low, _ in spans] + times), max([high for _, high in spans] + times)

    def seal(self, *, everything: bool = False) -> SealReport:
        """Turn rows that waited long enough into chunks, merge small chunks, empty the log. Raises StorageError."""
        with self._background:
            return self._sealer.seal(everything=everything)

    def retain(self) -> RetainReport:
        """Drop history that is too old or too much. Raises StorageError."""
        with self._background:
            return self._retention.retain()

    def drop_host(self, host: int) -> None:
        """Forget everything about a host at once; its bytes are given back by the next `retain`."""
        with self._session.writing() as state:
            with state.lock:
                known = state.hosts.get(host)
                if known is None:
                    return
                chunks = [entry for index in (known.samples, known.processes) for entry in index]
                mark = HostMark(host, 0, state.next_log - 1)
            self._session.storage.drop_host(mark, chunks)
            with state.lock:
                state.drop(host, mark, chunks)

    def stats(self) -> TimeSeriesStats:
        """Sizes and counts."""
        sizes = self._session.storage.sizes()
        state = self._session.state
        with state.lock:
            entries = state.entries()
            head = [row for host in state.hosts.values() for row in host.head]
            widths = dict(state.catalogues.widths)
            hosts = sum(1 for host in state.hosts.values() if host.head or host.samples or host.processes)
            damaged, refused, head_bytes = len(state.damaged) + len(state.notes), state.refused, state.head_bytes
        samples = sum(entry.rows * widths.get(entry.catalogue, 0) for entry in entries)
        samples += sum(len(row.body) // 8 for row in head if row.catalogue)
        span = self.bounds()
        times = sorted(self._commit_ms)
        return TimeSeriesStats(
            file_bytes=sizes.file_bytes,
            wal_bytes=sizes.wal_bytes,
            unused_bytes=sizes.unused_bytes,
            disk_free_bytes=shutil.disk_usage(self._path.parent).free,
            hosts=hosts,
            chunks=len(entries),
            chunk_bytes=sum(entry.size_bytes for entry in entries),
            samples=samples,
            head_rows=len(head),
            head_bytes=head_bytes,
            oldest_ms=span[0] if span else None,
            newest_ms=span[1] if span else None,
            damaged=damaged,
            refused=refused,
            commits=self._commits,
            commit_p99_ms=times[min(len(times) - 1, len(times) * 99 // 100)] if times else None,
            failed=self._session.failed,
        )

    def damage(self) -> list[str]:
        """What was found damaged so far, one sentence each. Queries leave a hole there."""
        state = self._session.state
        with state.lock:
            return [*state.notes, *state.damaged.values()]

    def check(self) -> list[str]:
        """Read and verify everything; returns what is wrong, one sentence each. Takes minutes for a large file."""
        return check_store(self._session)

    def close(self) -> None:
        """Close the file. What was written stays in the log and is found again."""
        with self._background, self._session.write_lock:
            self._session.storage.close()

    def _plan(self, state: State, rows: Sequence[StoredRow]) -> tuple[list[LogRow], WriteReport]:
        acked: dict[tuple[int, str], int] = {}
        kept: list[LogRow] = []
        refused: list[RefusedRow] = []
        stored = duplicates = 0
        with state.lock:
            for row in rows:
                key = (row.host, row.stream)
                if not 0 < row.seq < MAX_SEQ:
                    refused.append(RefusedRow(row.host, row.stream, row.seq, "its sequence number is out of range"))
                    continue
                if row.seq <= (acked.get(key) or state.acked.get(key, 0)):
                    duplicates += 1
                    continue
                acked[key] = row.seq
                number, reason = _place(state, row)
                if reason:
                    refused.append(RefusedRow(row.host, row.stream, row.seq, reason))
                stored += number >= 0
                time, body = (row.timestamp_ms, row.body) if number >= 0 else (0, b"")
                kept.append(LogRow(row.host, row.stream, row.seq, time, row.received_ms, number, body))
        return kept, WriteReport(stored, duplicates, refused)

    def _commit(self, state: State, rows: list[LogRow]) -> None:
        with state.lock:
            numbers = {row.catalogue for row in rows if row.catalogue > 0}
            fresh = [state.catalogues.row(one) for one in numbers if not state.catalogues.is_stored(one)]
            number = state.next_log
        started = self._clock.monotonic()
        self._session.storage.append(LogEntry(number, rows[-1].received_ms, b"", pack_batch(number, rows)), fresh)
        now = self._clock.monotonic()
        self._commits += 1
        self._commit_ms.append((now - started) * 1000)
        _apply(state, number, rows, fresh, now)


def _place(state: State, row: StoredRow) -> tuple[int, str]:
    """The number of the row's catalogue, 0 for a process table, ACK_ONLY and a reason for what is not stored."""
    if row.type == RecordType.EVENT:
        return ACK_ONLY, ""
    if not 0 <= row.timestamp_ms < MAX_TIMESTAMP_MS:
        return ACK_ONLY, "its time is out of range"
    if row.type == RecordType.PROCESSES:
        return 0, ""
    if row.type != RecordType.SAMPLES:
        return ACK_ONLY, f"its type {row.type} is unknown"
    catalogue = state.catalogues.find(row.catalogue)
    if catalogue is None:
        return ACK_ONLY, "its catalogue was never announced"
    if not row.body or len(row.body) != catalogue.width * 8:
        return ACK_ONLY, f"its body has {len(row.body)} bytes instead of {catalogue.width * 8}"
    return catalogue.number, ""


def _apply(state: State, number: int, rows: list[LogRow], fresh: list[CatalogueRow], now: float) -> None:
    """The batch is durable: make it visible."""
    heads: dict[int, list[HeadRow]] = {}
    latest: dict[int, LogRow] = {}
    for row in rows:
        if row.catalogue >= 0:
            head = HeadRow(number, row.timestamp_ms, row.received_ms, row.catalogue, row.body)
            heads.setdefault(row.host, []).append(head)
            if row.catalogue:
                latest[row.host] = row
    with state.lock:
        state.next_log = number + 1
        state.catalogues.stored(fresh)
        for row in rows:
            state.acked[row.host, row.stream] = row.seq
        state.unsaved_acks.update((row.host, row.stream) for row in rows)
        for host, found in heads.items():
            state.head_bytes += state.host(host).append(found, now)
        for host, row in latest.items():
            catalogue = state.catalogues.row(row.catalogue).id
            state.hosts[host].latest = LatestRow(row.timestamp_ms, catalogue, row.body)


def _split(rows: list[LogRow]) -> list[list[LogRow]]:
    """Batches of at most MAX_BATCH_BYTES."""
    batches: list[list[LogRow]] = []
    size = 0
    for row in rows:
        if not batches or size + len(row.body) > MAX_BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(row)
        size += len(row.body)
    return batches
