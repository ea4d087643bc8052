"""From an agent's records to durable rows: checked, grouped, committed, and only then acknowledged.

The hot path is `take`: no work per sample, one tuple per record. `commit` runs in a job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cybercorp.core.clock import Clock
from cybercorp.core.errors import (
    CyberCorpError,
    InvalidInputError,
    LimitExceededError,
    MalformedMessageError,
    StorageError,
)
from cybercorp.protocol.agents import AnnounceCatalogue, Record, RecordType, Refuse
from cybercorp.protocol.events import EventKind, Severity
from cybercorp.protocol.metrics import Catalogue, check_catalogue
from cybercorp.server.services.agents import AgentLink
from cybercorp.server.services.bodies import FUTURE_MS, read_event, read_table
from cybercorp.server.services.events import EventService
from cybercorp.server.services.fleet import LiveHost
from cybercorp.store.records.events import NewEvent
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow, WriteReport

MAX_RECORDS = 4_096
MAX_PENDING_BYTES = 64 * 1024 * 1024
MAX_CATALOGUES = 64
MAX_SHARED_CATALOGUES = 256
RETRY_AFTER_S = 2.0
ResultT = TypeVar("ResultT")
_LOG = logging.getLogger("cybercorp.ingest")


class IngestService:
    """Takes records in the event loop; writes in one thread of its own."""

    def __init__(self, store: TimeSeries, events: EventService, clock: Clock, *, retention_ms: int) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._retention_ms = retention_ms
        self._started_ms, self._started_at = clock.now_ms(), clock.monotonic()
        self._writer = ThreadPoolExecutor(1, "cybercorp-writer")
        self._rows: list[StoredRow] = []
        self._new_events: list[NewEvent] = []
        self._pending_bytes = 0
        self._marks: dict[AgentLink, int] = {}
        self._taken: dict[tuple[int, str], int] = {}
        self._catalogues: dict[str, Catalogue] = {}  # many hosts of one kind say the same: it is held once
        self._dropped: set[int] = set()
        self._committing = asyncio.Lock()
        self._arrived = asyncio.Event()
        self.failing = ""
        self.samples = 0
        self.on_row: Callable[[LiveHost, Record], None] = lambda host, record: None

    def announce(self, link: AgentLink, announced: AnnounceCatalogue) -> None:
        """A catalogue that the following samples refer to. Raises InvalidInputError, LimitExceededError.

        The store hears of it with the first row that uses it.
        """
        catalogue = self._catalogues.get(announced.id)
        if catalogue is None or catalogue.series != announced.series:
            catalogue = announced.to_catalogue()
            check_catalogue(catalogue)
            _keep_newest(self._catalogues, catalogue, MAX_SHARED_CATALOGUES)
        _keep_newest(link.catalogues, catalogue, MAX_CATALOGUES)

    def take(self, link: AgentLink, records: list[Record]) -> None:
        """Records in the order they were sent. Raises MalformedMessageError and `unknown_catalogue`.

        What is wrong with one record's time or size is counted and noted as an event; the record is acknowledged, since
        it would be wrong again.
        """
        if not records or link.close_code:
            return
        if len(records) > MAX_RECORDS:
            raise MalformedMessageError(f"A message holds {len(records)} records.", hint=f"Send {MAX_RECORDS} at most.")
        if not link.follows(records[0].seq):
            return
        if self._pending_bytes > MAX_PENDING_BYTES:
            link.rewind_to(records[0].seq)
            link.refuse(
                Refuse(
                    seq=link.acked_seq,
                    retry_after_s=RETRY_AFTER_S,
                    code=LimitExceededError.code,
                    detail=self.failing or "The server cannot store as fast as samples come.",
                )
            )
            return
        now_ms, stream = self._clock.now_ms(), (link.host.key, link.stream)
        taken = max(self._taken.get(stream, 0), link.acked_seq)
        try:
            for record in records:
                if record.seq > taken:  # else it waits for its commit already, or is durable
                    self._take_one(link, record, now_ms)
                    taken = record.seq
        finally:
            self._taken[stream] = self._marks[link] = taken
            self._arrived.set()

    def _take_one(self, link: AgentLink, record: Record, now_ms: int) -> None:
        host, body, kind = link.host, record.body, record.type
        if kind == RecordType.SAMPLES:
            catalogue = link.catalogues.get(record.catalogue)
            if catalogue is None:
                link.rewind_to(record.seq)
                raise InvalidInputError(
                    "Samples refer to a catalogue that was not announced on this connection.",
                    hint="Announce it and send them again.",
                    code="unknown_catalogue",
                )
            if len(body) != 8 * len(catalogue.series):
                raise MalformedMessageError(
                    f"A row of samples has {len(body)} bytes instead of {8 * len(catalogue.series)}.",
                    hint="Send one float64 for each series of the catalogue.",
                )
            if self._in_time(link, record, now_ms) and self._may_bring(link, catalogue):
                if link.catalogue != catalogue.id:
                    self._store.register_catalogue(host.key, catalogue)
                    link.catalogue = catalogue.id
                self.samples += len(catalogue.series)
                if host.take_row(catalogue, record.timestamp_ms, body, now_ms):
                    self.on_row(host, record)
                self._append(link, record, now_ms, body)
                return
        elif kind == RecordType.PROCESSES:
            table = read_table(record)
            if self._in_time(link, record, now_ms):
                host.take_table(table, now_ms)
                self._append(link, record, now_ms, body)
                return
        elif kind == RecordType.EVENT:
            self._take_event(link, read_event(host, record, now_ms))
        else:
            raise MalformedMessageError(f"A record has the unknown type {int(kind)}.", hint="Update the server.")
        self._append(link, record, now_ms, b"", RecordType.EVENT)

    def _may_bring(self, link: AgentLink, catalogue: Catalogue) -> bool:
        """Whether the host may have this catalogue stored: names that never end would fill memory and disk."""
        if link.catalogue == catalogue.id or self._store.knows_catalogue(link.host.key, catalogue.id):
            return True
        now = self._clock.monotonic()
        if link.host.series.take(now, len(catalogue.series)):
            return True
        if link.may_complain("series", now):
            message = f"{link.host.name} brings more new series than are kept of one host; their samples are dropped."
            self._add_event(EventKind.AGENT_REFUSED, message, Severity.WARNING, link.host)
        return False

    def _take_event(self, link: AgentLink, event: NewEvent) -> None:
        now = self._clock.monotonic()
        if link.host.events.take(now):
            self._new_events.append(event)
        elif link.may_complain("events", now):
            message = f"{link.host.name} reports more events than are kept of one host; the others are dropped."
            self._add_event(EventKind.AGENT_REFUSED, message, Severity.WARNING, link.host)

    def _append(
        self, link: AgentLink, record: Record, now_ms: int, body: bytes, kind: RecordType | None = None
    ) -> None:
        self._pending_bytes += len(body) + 64
        self._rows.append(
            StoredRow(
                link.host.key,
                link.stream,
                record.seq,
                record.timestamp_ms,
                now_ms,
                record.type if kind is None else kind,
                record.catalogue,
                body,
            )
        )

    def _in_time(self, link: AgentLink, record: Record, now_ms: int) -> bool:
        if now_ms - self._retention_ms <= record.timestamp_ms <= now_ms + FUTURE_MS:
            return True
        # This server's wall clock may have been set wrong a moment ago; what it would be without that counts as well.
        steady_ms = self._started_ms + round((self._clock.monotonic() - self._started_at) * 1000)
        if steady_ms - self._retention_ms <= record.timestamp_ms <= steady_ms + FUTURE_MS:
            return True
        if link.may_complain("time", self._clock.monotonic()):
            side = "in the future" if record.timestamp_ms > now_ms else "older than history is kept"
            message = f"{link.host.name} sends samples that are {side}; they are not stored. Check its clock."
            self._add_event(EventKind.SAMPLES_DROPPED, message, Severity.WARNING, link.host)
        return False

    async def arrived(self) -> None:
        """Wait until there is something to commit."""
        await self._arrived.wait()
        self._arrived.clear()

    async def commit(self) -> None:
        """Make what has arrived durable and acknowledge it; while the store fails, keep it and let the agents wait."""
        async with self._committing:
            await self._commit()

    async def _commit(self) -> None:
        rows, new_events, marks = self._rows, self._new_events, self._marks
        if self._dropped:
            rows = [row for row in rows if row.host not in self._dropped]
        self._rows, self._new_events, self._marks, self._pending_bytes = [], [], {}, 0
        if not rows and not new_events and not marks:
            return
        try:
            await self._events.append(new_events)
            new_events = []
            report = await self.write(rows)
        except StorageError as error:
            self._keep(rows, new_events, marks)
            self._failed(error, marks)
            return
        except BaseException:  # whatever it was: what is not durable must never look acknowledged
            self._keep(rows, new_events, marks)
            raise
        for link, seq in marks.items():
            link.acknowledge(seq)
            if self._taken.get((link.host.key, link.stream), 0) <= seq:
                self._taken.pop((link.host.key, link.stream), None)
        if report.refused:
            _LOG.warning("%d rows were refused: %s", len(report.refused), report.refused[0].reason)
        if self.failing:
            self.failing = ""
            message = "The store can be written again; nothing was lost."
            self._add_event(EventKind.STORAGE_RECOVERED, message, Severity.INFO)

    async def drop_host(self, key: int) -> None:
        """Forget the history of a host, and what of it still waits."""
        self._dropped.add(key)
        await self.in_writer(lambda: self._store.drop_host(key))

    async def write(self, rows: list[StoredRow]) -> WriteReport:
        """Write rows in the writer's thread."""
        return await self.in_writer(lambda: self._store.write(rows))

    async def in_writer(self, work: Callable[[], ResultT]) -> ResultT:
        """Run something in the one thread that writes."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    def close(self) -> None:
        self._writer.shutdown()

    def _keep(self, rows: list[StoredRow], events: list[NewEvent], marks: dict[AgentLink, int]) -> None:
        self._rows = rows + self._rows
        self._new_events = events + self._new_events
        self._pending_bytes += sum(len(row.body) + 64 for row in rows)
        for link, seq in marks.items():
            self._marks[link] = max(self._marks.get(link, 0), seq)
        self._arrived.set()

    def _failed(self, error: CyberCorpError, marks: dict[AgentLink, int]) -> None:
        for link in marks:
            link.refuse(
                Refuse(seq=link.acked_seq, retry_after_s=RETRY_AFTER_S, code=error.error_code, detail=error.message)
            )
        if not self.failing:
            self.failing = error.message
            _LOG.error("%s", error)
            self._add_event(EventKind.STORAGE_FAILED, str(error), Severity.ERROR)

    def _add_event(self, kind: EventKind, message: str, severity: Severity, host: LiveHost | None = None) -> None:
        """An event of the server's own, stored with the next commit: also when nothing can be stored now."""
        self._new_events.append(
            NewEvent(
                time_ms=self._clock.now_ms(),
                kind=kind,
                severity=severity,
                message=message,
                host_id=host.id if host else None,
                host=host.name if host else None,
            )
        )
        self._arrived.set()


def _keep_newest(known: dict[str, Catalogue], catalogue: Catalogue, most: int) -> None:
    if len(known) >= most and catalogue.id not in known:
        known.pop(next(iter(known)))
    known[catalogue.id] = catalogue
