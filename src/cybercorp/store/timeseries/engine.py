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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cybercorp.core.clock import Clock
from cybercorp.protocol.metrics import Aggregation, Catalogue, MetricSelector
from cybercorp.protocol.processes import ProcessChanges, ProcessTable
from cybercorp.security.vault import Vault
from cybercorp.store.timeseries.log.arrivals import apply, pack_heads, plan
from cybercorp.store.timeseries.log.backlog import thaw
from cybercorp.store.timeseries.log.batches import Batch, pack_batch
from cybercorp.store.timeseries.reading.instants import Instants
from cybercorp.store.timeseries.reading.past_rows import PastRow, PastRows
from cybercorp.store.timeseries.reading.queries import Queries
from cybercorp.store.timeseries.reading.query_ranges import Range
from cybercorp.store.timeseries.reading.rollups import Tier
from cybercorp.store.timeseries.reading.spans import RowBlock, Spans
from cybercorp.store.timeseries.reading.tier_queries import choose_tier
from cybercorp.store.timeseries.rows import (
    LatestRow,
    RetainReport,
    Samples,
    SealReport,
    Selection,
    SeriesResult,
    StoredRow,
    TimeSeriesStats,
    WriteReport,
)
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.sizes import tier_stats
from cybercorp.store.timeseries.state import State
from cybercorp.store.timeseries.storage.contract import ChunkStorage, HostMark, LogEntry
from cybercorp.store.timeseries.storage.sqlite import SqliteStorage
from cybercorp.store.timeseries.upkeep.checking import check_store
from cybercorp.store.timeseries.upkeep.reencrypting import Reencrypter
from cybercorp.store.timeseries.upkeep.retention import Retention
from cybercorp.store.timeseries.upkeep.sealing import Sealer

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
        self._past_rows = PastRows(self._session)
        self._spans = Spans(self._session)
        self._sealer = Sealer(self._session, clock, settings.block_s)
        self._retention = Retention(self._session, clock, settings)
        self._reencrypter = Reencrypter(self._session)
        self._background = threading.RLock()
        self._commits = 0
        self._commit_ms: deque[float] = deque(maxlen=_COMMITS_KEPT)

    def encrypt_with(self, vault: Vault) -> None:
        """From now on process tables are encrypted, and read where they are. Call it before anything is written."""
        self._session.encryption.vault = vault

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
            with state.lock:
                batches, report = plan(state, rows)
            for batch in batches:
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
        *,
        tier: Tier = Tier.RAW,
        check: Callable[[], None] = lambda: None,
    ) -> list[SeriesResult]:
        """Aggregate to ⌈(end − start) / step⌉ values a series; point i covers `[start+i*step, start+(i+1)*step)`.

        Series are selected over all catalogues that have rows in the range, and one series is joined across them.
        `tier` is what to read, as `choose_tier` says. `check` is called every now and then; what it raises ends the
        query.
        """
        how = Aggregation(aggregation)
        return self._queries.query(selections, start_ms, end_ms, step_ms, how, quantile, tier, check)

    def query_hosts(
        self,
        hosts: Sequence[int],
        selectors: Sequence[MetricSelector],
        start_ms: int,
        end_ms: int,
        step_ms: int,
        aggregation: Aggregation,
        quantile: float | None = None,
        *,
        tier: Tier = Tier.RAW,
        check: Callable[[], None] = lambda: None,
    ) -> list[SeriesResult]:
        """`query` of the same selectors for many hosts, each named once; in their order."""
        wanted = Range(start_ms, step_ms, -(-(end_ms - start_ms) // step_ms), aggregation, quantile)
        return self._queries.query_hosts(hosts, tuple(dict.fromkeys(selectors)), wanted, tier, check)

    def samples(self, host: int, selectors: Sequence[MetricSelector], start_ms: int, end_ms: int) -> Samples:
        """Every sample of the matching series of one host in `[start_ms, end_ms)`, of each timestamp the last."""
        return self._queries.samples(host, tuple(selectors), start_ms, end_ms)

    def choose_tier(self, start_ms: int, end_ms: int, step_ms: int, aggregation: Aggregation | None) -> Tier:
        """The tier that answers such a query with least work and without a difference."""
        raw_from_ms = self._clock.now_ms() - self._settings.retention_ms
        return choose_tier(start_ms, end_ms, step_ms, aggregation, raw_from_ms)

    def finest_step_ms(self, start_ms: int) -> int:
        """The finest step that history of that time has: older than its samples there are minutes, then hours."""
        age_ms = self._clock.now_ms() - start_ms
        if age_ms <= self._settings.retention_ms:
            return 1
        return (Tier.MINUTE if age_ms <= self._settings.minutes_retention_ms else Tier.HOUR).step_ms

    def row_at(self, host: int, at_ms: int, within_ms: int) -> LatestRow | None:
        """The newest row of samples at or before `at_ms`, at most `within_ms` older."""
        return self._instants.row_at(host, at_ms, within_ms)

    def rows_at(
        self, hosts: Sequence[int], at_ms: int, within_ms: int, selectors: Sequence[MetricSelector]
    ) -> dict[int, PastRow]:
        """By host what `row_at` gives, and the row before it, at most `within_ms` older; hosts without are absent.

        Series that no selector means are NaN: they are not read.
        """
        return self._past_rows.rows_at(hosts, at_ms, within_ms, tuple(selectors))

    def processes_at(self, host: int, at_ms: int, within_ms: int) -> ProcessTable | None:
        """The newest recorded process table at or before `at_ms`, at most `within_ms` older."""
        return self._instants.processes_at(host, at_ms, within_ms)

    def nearest_processes(self, host: int, at_ms: int) -> tuple[int | None, int | None]:
        """When the last process table at or before `at_ms`, and the first after it, were recorded."""
        return self._instants.nearest_processes(host, at_ms)

    def process_changes(self, host: int, start_ms: int, end_ms: int) -> list[tuple[int, ProcessChanges]]:
        """Starts and exits told by the process tables of `[start_ms, end_ms)`, with each table's time, in order."""
        return self._instants.process_changes(host, start_ms, end_ms)

    def rows(self, host: int, start_ms: int, end_ms: int) -> Iterator[RowBlock]:
        """Every row of samples of a host in `[start_ms, end_ms)`, as it was stored, half an hour at a time."""
        return self._spans.rows(host, start_ms, end_ms)

    def process_tables(self, host: int, start_ms: int, end_ms: int) -> Iterator[bytes]:
        """Every process table of a host in `[start_ms, end_ms)` as its agent sent it, by time."""
        return self._spans.tables(host, start_ms, end_ms)

    def bounds(self, host: int | None = None) -> tuple[int, int] | None:
        """The oldest and the newest timestamp of one host or of all; to the minute where only rollups are left."""
        state = self._session.state
        with state.lock:
            hosts = list(state.hosts.values()) if host is None else [one for one in [state.hosts.get(host)] if one]
            spans = [span for one in hosts if (span := one.bounds())]
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None

    def seal(self, *, everything: bool = False) -> SealReport:
        """Turn rows that waited long enough into chunks, merge small chunks, empty the log. Raises StorageError."""
        with self._background:
            report = self._seal(everything=everything)
            while everything and report.pending and self._session.state.backlog:
                more = self._seal(everything=True)
                report = SealReport(
                    hosts=report.hosts + more.hosts,
                    rows=report.rows + more.rows,
                    chunks=report.chunks + more.chunks,
                    merged=report.merged + more.merged,
                    trimmed=report.trimmed + more.trimmed,
                    pending=more.pending,
                    settled=report.settled + more.settled,
                )
            return report

    def reencrypt(self, chunks: int = 64) -> bool:
        """Write some more process tables with the current key; whether all of them are. Raises StorageError."""
        with self._background:
            return self._reencrypter.step(chunks)

    @property
    def unencrypted(self) -> int:
        """Chunks of process tables that `reencrypt` has yet to look at."""
        return self._reencrypter.waiting

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
                chunks = known.entries()
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
            widths = dict(state.catalogues.widths)
            heads = [host.head for host in state.hosts.values()]
            head_rows, head_values = sum(map(len, heads)), sum(head.values(widths) for head in heads)
            hosts = sum(1 for host in state.hosts.values() if host.has_history)
            damaged, refused, head_bytes = len(state.damaged) + len(state.notes), state.refused, state.head_bytes
        tiers = tier_stats(entries, widths)
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
            samples=tiers[0].values + head_values,
            head_rows=head_rows,
            head_bytes=head_bytes,
            oldest_ms=span[0] if span else None,
            newest_ms=span[1] if span else None,
            damaged=damaged,
            refused=refused,
            commits=self._commits,
            commit_p99_ms=times[min(len(times) - 1, len(times) * 99 // 100)] if times else None,
            failed=self._session.failed,
            tiers=tiers,
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

    def _seal(self, *, everything: bool) -> SealReport:
        """Seal what is in memory, and first bring there some of what was in the log only when the store was opened."""
        state = self._session.state
        thaw(self._session, state)
        report = self._sealer.seal(everything=everything)
        return report._replace(pending=report.pending or bool(state.backlog))

    def _commit(self, state: State, batch: Batch) -> None:
        with state.lock:
            numbers = {number for number in set(batch.catalogues) if number > 0}
            fresh = [state.catalogues.row(one) for one in numbers if not state.catalogues.is_stored(one)]
            number = state.next_log
        started = self._clock.monotonic()
        encryption = self._session.encryption
        head, body = pack_batch(number, batch, lambda frame, packed: encryption.of_frame(number, frame).encrypt(packed))
        self._session.storage.append(LogEntry(number, batch.received[-1], head, body), fresh)
        now = self._clock.monotonic()
        self._commits += 1
        self._commit_ms.append((now - started) * 1000)
        with state.lock:
            apply(state, number, batch, fresh, now)
            short = state.head_bytes > self._settings.head_raw_bytes
        if short:
            pack_heads(state, batch)
