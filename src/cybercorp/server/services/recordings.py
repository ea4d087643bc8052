"""Recordings of chosen hosts and a span of time, made while they are sent. Their form: `protocol/recordings.py`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import NamedTuple

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import LimitExceededError, NotFoundError, TimeExpressionError
from cybercorp.core.version import VERSION
from cybercorp.protocol.decoding import UNREADABLE
from cybercorp.protocol.events import Event
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.recordings import (
    MAX_HOSTS,
    MAX_ROWS,
    EventsBlock,
    FrameWriter,
    Manifest,
    RecordedCatalogue,
    RecordedHost,
    SamplesBlock,
    TablesBlock,
)
from cybercorp.server.services.events import EventService
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.metrics import MetricService
from cybercorp.server.services.recorded_blocks import fits, pack_items, pack_samples, rows_of_a_block
from cybercorp.server.services.views import View
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.reading.spans import RowBlock

LEAD_MS = 360_000  # what the charts of the first instant show, and the process table before it
_TABLES_AT_ONCE = 100
_EVENTS_AT_ONCE = 1_000


class Seen(NamedTuple):
    """What whoever takes a recording may see: of which hosts the samples, the process tables, the events.

    `server`: they may take recordings of everything, and so have the events of the server itself where they see them.
    """

    metrics: View
    processes: View
    events: View
    server: bool


class Tally:
    """What went into a recording so far, and the numbers of its catalogues."""

    def __init__(self) -> None:
        self.rows = self.samples = self.tables = self.events = 0
        self.catalogues: dict[str, int] = {}


class RecordingService:
    """Reads in the readers' threads, a block at a time: a large recording delays nobody and fills no memory."""

    def __init__(self, store: TimeSeries, metrics: MetricService, events: EventService, clock: Clock) -> None:
        self._store = store
        self._metrics = metrics
        self._events = events
        self._clock = clock

    def check(self, hosts: Sequence[LiveHost], since_ms: int, until_ms: int) -> Manifest:
        """The manifest of what is asked for. Raises NotFoundError, TimeExpressionError, LimitExceededError."""
        now_ms = self._clock.now_ms()
        if until_ms <= since_ms or since_ms > now_ms:
            raise TimeExpressionError(
                "The recording would end before it starts." if until_ms <= since_ms else "It starts in the future.",
                hint="Choose --from before --to, both in the past.",
            )
        if not hosts:
            raise NotFoundError("No host matches.", hint="List them with: cybercorp hosts", code="host_not_found")
        if len(hosts) > MAX_HOSTS:
            raise LimitExceededError(
                f"{len(hosts):,} hosts match; {MAX_HOSTS:,} are the most in one recording.", hint="Choose fewer."
            )
        rows = sum(self._expected_rows(host, since_ms - LEAD_MS, until_ms) for host in hosts)
        if rows > MAX_ROWS:
            raise LimitExceededError(
                f"The recording would have about {rows:,} rows; {MAX_ROWS:,} are the most.",
                hint="Choose fewer hosts or a shorter span.",
            )
        return Manifest(
            made_by=VERSION,
            made_at_ms=now_ms,
            since_ms=since_ms,
            until_ms=min(until_ms, now_ms),
            lead_ms=LEAD_MS,
            hosts=len(hosts),
            rows=rows,
        )

    async def stream(self, manifest: Manifest, hosts: Sequence[LiveHost], seen: Seen) -> AsyncGenerator[bytes, None]:
        """The bytes of the file, piece by piece. Raises StorageError: then the file has no end, and readers say so."""
        writer, tally = FrameWriter(), Tally()
        yield writer.begin() + writer.frame(manifest)
        for number, host in enumerate(hosts, start=1):
            yield writer.frame(_recorded(number, host))
        start_ms = max(manifest.since_ms - manifest.lead_ms, 0)
        told, of_server = seen.events.choose(hosts), seen.server and seen.events.everything
        async for block in self._event_blocks(told, start_ms, manifest.until_ms, of_server):
            tally.events += block.count
            yield writer.frame(block)
        for number, host in enumerate(hosts, start=1):
            chosen = [self._samples] if seen.metrics.sees(host) else []
            chosen += [self._tables] if seen.processes.sees(host) else []
            for read in chosen:
                parts = read(writer, tally, number, host, start_ms, manifest.until_ms)
                while part := await self._metrics.read(lambda parts=parts: next(parts, b"")):  # type: ignore[misc]
                    yield part
        yield writer.end(rows=tally.rows, samples=tally.samples, tables=tally.tables, events=tally.events)

    def _expected_rows(self, host: LiveHost, start_ms: int, until_ms: int) -> int:
        bounds = self._store.bounds(host.key)
        if bounds is None:
            return 0
        span = min(until_ms, bounds[1]) - max(start_ms, bounds[0])
        return max(span, 0) // max(host.row.interval_ms, 100)

    def _samples(
        self, writer: FrameWriter, tally: Tally, number: int, host: LiveHost, start_ms: int, until_ms: int
    ) -> Iterator[bytes]:
        for block in self._store.rows(host.key, start_ms, until_ms + 1):
            known = tally.catalogues.get(block.catalogue.id)
            if known is None:
                known = tally.catalogues[block.catalogue.id] = len(tally.catalogues) + 1
                told = RecordedCatalogue(number=known, id=block.catalogue.id, series=block.catalogue.series)
                yield writer.frame(told)
            for part in _parts(block):
                size, data = pack_samples(part.timestamps, part.values)
                rows = len(part.timestamps)
                tally.rows += rows
                tally.samples += part.values.size
                yield writer.frame(SamplesBlock(host=number, catalogue=known, rows=rows, size=size, data=data))

    def _tables(
        self, writer: FrameWriter, tally: Tally, number: int, host: LiveHost, start_ms: int, until_ms: int
    ) -> Iterator[bytes]:
        waiting: list[ProcessTable] = []
        for body in self._store.process_tables(host.key, start_ms, until_ms + 1):
            with contextlib.suppress(*UNREADABLE):  # stored as its agent sent it
                waiting.append(msgspec.msgpack.decode(body, type=ProcessTable))
            if len(waiting) >= _TABLES_AT_ONCE:
                yield from self._table_frames(writer, tally, number, waiting)
                waiting = []
        yield from self._table_frames(writer, tally, number, waiting)

    @staticmethod
    def _table_frames(writer: FrameWriter, tally: Tally, number: int, tables: list[ProcessTable]) -> Iterator[bytes]:
        for count, size, data in _packed(tables):
            tally.tables += count
            yield writer.frame(TablesBlock(host=number, count=count, size=size, data=data))

    async def _event_blocks(
        self, hosts: Sequence[LiveHost], start_ms: int, until_ms: int, of_server: bool
    ) -> AsyncGenerator[EventsBlock, None]:
        """Events of these hosts, and where one may see them of the server itself."""
        ids = {host.id for host in hosts}
        if not ids and not of_server:
            return
        after = None
        while True:
            page = await self._events.page(after=after, since_ms=start_ms, until_ms=until_ms + 1, limit=_EVENTS_AT_ONCE)
            kept = [event for event in page.events if event.host_id in ids or (of_server and event.host_id is None)]
            for count, size, data in await asyncio.to_thread(lambda kept=kept: list(_packed(kept))):  # type: ignore[misc]
                yield EventsBlock(count=count, size=size, data=data)
            if page.next_after is None:
                return
            after = page.next_after


def _recorded(number: int, host: LiveHost) -> RecordedHost:
    row = host.row
    return RecordedHost(
        number=number,
        id=row.id,
        name=row.name,
        labels=row.labels,
        facts=row.facts,
        joined_at_ms=row.joined_at_ms,
        seen_at_ms=host.seen_at_ms,
        interval_ms=row.interval_ms,
    )


def _parts(block: RowBlock) -> Iterator[RowBlock]:
    most = rows_of_a_block(block.values.shape[1])
    for at in range(0, len(block.timestamps), most):
        yield RowBlock(block.catalogue, block.timestamps[at : at + most], block.values[at : at + most])


def _packed(items: Sequence[ProcessTable] | Sequence[Event]) -> Iterator[tuple[int, int, bytes]]:
    """(count, size, data) of blocks that are small enough; what is too large alone is left out."""
    if not items:
        return
    size, data = pack_items(items)
    if fits(size, data):
        yield len(items), size, data
    elif len(items) > 1:
        middle = len(items) // 2
        yield from _packed(items[:middle])
        yield from _packed(items[middle:])
