"""A recording's file becomes databases that a server can serve. Nothing in the file is trusted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from cybercorp.core.errors import ConflictError, CyberCorpError, InvalidInputError
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.events import Event
from cybercorp.protocol.hosts import check_host_name
from cybercorp.protocol.metrics import Catalogue, check_catalogue
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.recordings import (
    MAX_CATALOGUES,
    MAX_HOSTS,
    MAX_ROWS,
    End,
    EventsBlock,
    Frame,
    FrameReader,
    Manifest,
    RecordedCatalogue,
    RecordedHost,
    SamplesBlock,
    TablesBlock,
    damaged,
)
from cybercorp.server.services.facts import bounded_facts
from cybercorp.server.services.recorded_blocks import unpack_items, unpack_samples
from cybercorp.store.records.database import Records
from cybercorp.store.records.hosts import HostRow
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import MAX_TIMESTAMP_MS, StoredRow

MAX_UNPACKED_BYTES = 16 * 1024**3
_READ_BYTES = 1 << 20
_SEAL_BYTES = 128 * 1024**2
_STREAM = "recording"
_MAX_LABELS, _MAX_TEXT, _MAX_ID = 64, 4_000, 100


class Unpacker:
    """Takes the frames of one file, in order, into empty databases. Every method raises MalformedMessageError."""

    def __init__(self, records: Records, store: TimeSeries) -> None:
        self._records = records
        self._store = store
        self._keys: dict[int, int] = {}
        self._catalogues: dict[int, Catalogue] = {}
        self._seq = 0
        self._rows = self._tables = self._events = self._samples = 0
        self._unpacked = 0
        self._unsealed = 0
        self.manifest: Manifest | None = None

    @property
    def share(self) -> float:
        """About how much of the file is unpacked, 0 to 1."""
        expected = self.manifest.rows if self.manifest is not None else 0
        return min(self._rows / expected, 1.0) if expected > 0 else 0.0

    async def take(self, frame: Frame) -> None:
        """Store what one frame holds."""
        match frame:
            case Manifest():
                self._begin(frame)
            case RecordedHost():
                await self._add_host(frame)
            case RecordedCatalogue():
                self._add_catalogue(frame)
            case SamplesBlock():
                self._count(frame.size)
                await asyncio.to_thread(self._add_samples, frame)
            case TablesBlock():
                self._count(frame.size)
                await asyncio.to_thread(self._add_tables, frame)
            case EventsBlock():
                self._count(frame.size)
                await self._add_events(frame)
            case End():
                if (frame.rows, frame.samples, frame.tables, frame.events) != (
                    self._rows,
                    self._samples,
                    self._tables,
                    self._events,
                ):
                    raise damaged("it holds another number of rows than it says")
                await asyncio.to_thread(self._store.seal, everything=True)

    def _begin(self, manifest: Manifest) -> None:
        if not 0 <= manifest.since_ms <= manifest.until_ms < MAX_TIMESTAMP_MS or not 0 <= manifest.lead_ms < 1 << 40:
            raise damaged("its span of time is impossible")
        self.manifest = manifest

    async def _add_host(self, host: RecordedHost) -> None:
        with _distrust():
            check_host_name(host.name)
        longest = max((len(text) for pair in host.labels.items() for text in pair), default=0)
        times = (host.joined_at_ms, host.seen_at_ms or 0, host.interval_ms)
        if (
            host.number in self._keys
            or len(self._keys) >= MAX_HOSTS
            or not 0 < len(host.id) <= _MAX_ID
            or len(host.labels) > _MAX_LABELS
            or longest > _MAX_TEXT
            or not all(0 <= one < MAX_TIMESTAMP_MS for one in times)
        ):
            raise damaged(f"its host {host.number} is impossible")
        self._keys[host.number] = key = len(self._keys) + 1
        row = HostRow(
            key=key,
            id=host.id,
            name=host.name,
            labels=host.labels,
            facts=bounded_facts(host.facts),
            joined_at_ms=host.joined_at_ms,
            seen_at_ms=host.seen_at_ms,
            interval_ms=max(host.interval_ms, 1),
        )
        try:
            await self._records.hosts.restore([row])
        except ConflictError as error:
            raise damaged("it names a host twice") from error

    def _add_catalogue(self, told: RecordedCatalogue) -> None:
        catalogue = Catalogue(id=told.id, series=told.series)
        if told.number in self._catalogues or len(self._catalogues) >= MAX_CATALOGUES:
            raise damaged("it has too many catalogues, or one twice")
        with _distrust():
            check_catalogue(catalogue)
        self._catalogues[told.number] = catalogue

    def _add_samples(self, block: SamplesBlock) -> None:
        key, catalogue = self._key(block.host), self._catalogues.get(block.catalogue)
        if catalogue is None:
            raise damaged(f"its catalogue {block.catalogue} is missing")
        self._rows += block.rows
        if not 0 < self._rows <= MAX_ROWS:
            raise damaged(f"it has more than {MAX_ROWS:,} rows")
        timestamps, values = unpack_samples(block.data, block.size, block.rows, len(catalogue.series))
        self._samples += values.size
        self._store.register_catalogue(key, catalogue)
        bodies = (values[row].tobytes() for row in range(block.rows))
        self._write(
            [
                self._row(key, at_ms, RecordType.SAMPLES, catalogue.id, body)
                for at_ms, body in zip(timestamps.tolist(), bodies, strict=True)
            ]
        )

    def _add_tables(self, block: TablesBlock) -> None:
        key = self._key(block.host)
        tables = unpack_items(block.data, block.size, block.count, ProcessTable)
        self._tables += len(tables)
        for table in tables:
            lengths = {len(one) for one in msgspec.structs.astuple(table) if isinstance(one, list)}
            if len(lengths) != 1:
                raise damaged("the columns of a process table differ in length")
        self._write(
            [
                self._row(key, table.timestamp_ms, RecordType.PROCESSES, "", msgspec.msgpack.encode(table))
                for table in tables
            ]
        )

    async def _add_events(self, block: EventsBlock) -> None:
        events = unpack_items(block.data, block.size, block.count, Event)
        self._events += len(events)
        for event in events:
            texts = (event.kind, event.message, event.host or "", event.host_id or "", *event.attributes.values())
            if (
                max(map(len, texts)) > _MAX_TEXT
                or not 0 <= event.time_ms < MAX_TIMESTAMP_MS
                or not 0 < event.id < 1 << 62
            ):
                raise damaged("it has an impossible event")
        try:
            await self._records.events.restore(events)
        except ConflictError as error:
            raise damaged("it has an event twice") from error

    def _key(self, number: int) -> int:
        key = self._keys.get(number)
        if key is None:
            raise damaged(f"its host {number} is missing")
        return key

    def _row(self, key: int, at_ms: int, kind: RecordType, catalogue: str, body: bytes) -> StoredRow:
        manifest = self.manifest
        assert manifest is not None  # the first frame is the manifest
        if not manifest.since_ms - manifest.lead_ms - 1 <= at_ms <= manifest.until_ms:
            raise damaged("it has rows outside its span of time")
        self._seq += 1
        return StoredRow(key, _STREAM, self._seq, at_ms, at_ms, kind, catalogue, body)

    def _write(self, rows: list[StoredRow]) -> None:
        if not rows:
            return
        report = self._store.write(rows)
        if report.refused:
            raise damaged(f"a row cannot be stored: {report.refused[0].reason}")
        self._unsealed += sum(len(row.body) for row in rows)
        if self._unsealed > _SEAL_BYTES:
            self._store.seal(everything=True)
            self._unsealed = 0

    def _count(self, size: int) -> None:
        self._unpacked += size
        if self._unpacked > MAX_UNPACKED_BYTES:
            raise damaged(f"it unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB")


async def unpack_recording(
    path: Path, records: Records, store: TimeSeries, tell: Callable[[float], None] = lambda share: None
) -> Manifest:
    """Unpack a file into empty databases; `tell` hears how far it is. Raises InvalidInputError and its kin."""
    reader, unpacker = FrameReader(), Unpacker(records, store)
    for data in _pieces(path):
        for frame in reader.feed(data):
            await unpacker.take(frame)
        tell(unpacker.share)
    reader.finish()
    assert unpacker.manifest is not None  # a finished file has one
    return unpacker.manifest


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while data := file.read(_READ_BYTES):
                yield data
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}.", hint="Check its name.") from error


@contextlib.contextmanager
def _distrust() -> Iterator[None]:
    """What a check refuses makes the recording a damaged one."""
    try:
        yield
    except CyberCorpError as error:
        raise damaged(error.message) from error
