"""Promises about files that come from anywhere: bounded, checked, refused by name."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import MalformedMessageError
from cybercorp.protocol.events import Event, Severity
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.metrics import Series, make_catalogue
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.recordings import (
    EventsBlock,
    Frame,
    FrameWriter,
    Manifest,
    RecordedCatalogue,
    RecordedHost,
    SamplesBlock,
    TablesBlock,
)
from cybercorp.server.services.recorded_blocks import pack_items, pack_samples
from cybercorp.server.unpacking import unpack_recording
from cybercorp.store.records.database import Records
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings

START = 1_800_000_000_000
CATALOGUE = make_catalogue([Series(name="system.cpu.utilization"), Series(name="system.cpu.load_average.1m")])
MANIFEST = Manifest(made_by="1", made_at_ms=START, since_ms=START, until_ms=START + 9_000, lead_ms=0, hosts=1, rows=10)
HOST = RecordedHost(number=1, id="host_1", name="web-1", labels={}, facts=HostFacts(), joined_at_ms=START)
SERIES = RecordedCatalogue(number=1, id=CATALOGUE.id, series=CATALOGUE.series)
EVENT = Event(id=7, time_ms=START, kind="host.joined", severity=Severity.INFO, message="web-1 joined.")
TABLE = ProcessTable(timestamp_ms=START, total=0)
Open = tuple[Records, TimeSeries]


def samples(**changes: Any) -> SamplesBlock:
    """Ten rows of the host, a second apart."""
    size, data = pack_samples(np.arange(START, START + 10_000, 1000), np.full((10, 2), 0.25))
    return msgspec.structs.replace(SamplesBlock(host=1, catalogue=1, rows=10, size=size, data=data), **changes)


def rows_at(first_ms: int) -> SamplesBlock:
    size, data = pack_samples(np.array([first_ms]), np.zeros((1, 2)))
    return SamplesBlock(host=1, catalogue=1, rows=1, size=size, data=data)


def tables(*found: ProcessTable) -> TablesBlock:
    size, data = pack_items(found)
    return TablesBlock(host=1, count=len(found), size=size, data=data)


def events(*found: Event) -> EventsBlock:
    size, data = pack_items(found)
    return EventsBlock(count=len(found), size=size, data=data)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrated databases without content: making them takes longer than all the rest."""
    folder = tmp_path_factory.mktemp("empty")

    async def make() -> None:
        await (await Records.open(folder / "records.db")).close()
        TimeSeries.open(folder / "samples.db", TimeSeriesSettings(), SystemClock()).close()

    asyncio.run(make())
    return folder


@pytest.fixture
async def databases(empty: Path, tmp_path: Path) -> AsyncIterator[Open]:
    for name in ("records.db", "samples.db"):
        shutil.copy(empty / name, tmp_path / name)
    records = await Records.open(tmp_path / "records.db")
    store = TimeSeries.open(tmp_path / "samples.db", TimeSeriesSettings(), SystemClock())
    yield records, store
    store.close()
    await records.close()


def written(path: Path, *frames: Frame, **counted: int) -> Path:
    """A file of these frames that ends as a whole one does."""
    writer = FrameWriter()
    totals = {"rows": 10, "samples": 20, "tables": 1, "events": 1, **counted}
    path.write_bytes(b"".join([writer.begin(), *map(writer.frame, frames), writer.end(**totals)]))
    return path


async def test_what_was_packed_is_there(databases: Open, tmp_path: Path) -> None:
    """Hosts, rows, tables and events come back exactly, ids included."""
    records, store = databases
    told: list[float] = []
    path = written(tmp_path / "f", MANIFEST, HOST, SERIES, samples(), tables(TABLE), events(EVENT))
    assert await unpack_recording(path, records, store, told.append) == MANIFEST
    [host] = await records.hosts.list_()
    assert (host.id, host.name, host.joined_at_ms) == ("host_1", "web-1", START)
    row = store.row_at(host.key, START + 4_500, 1_000)
    assert row is not None
    assert (row.timestamp_ms, np.frombuffer(row.body).tolist()) == (START + 4_000, [0.25, 0.25])
    assert store.processes_at(host.key, START, 0) == TABLE
    assert (await records.events.page()).events == [EVENT]
    assert told[-1] == 1.0


def _bad() -> dict[str, tuple[list[Frame], dict[str, int]]]:
    change = msgspec.structs.replace
    good: list[Frame] = [MANIFEST, HOST, SERIES]
    long_name = change(HOST, name="x" * 300)
    other_series = RecordedCatalogue(number=1, id="0" * 16, series=CATALOGUE.series)
    uneven = ProcessTable(timestamp_ms=START, total=1, pid=[1])
    return {
        "a host twice": ([MANIFEST, HOST, HOST], {}),
        "a name twice": ([MANIFEST, HOST, change(HOST, number=2, id="host_2")], {}),
        "an impossible name": ([MANIFEST, change(HOST, name="a b\x1b[2J")], {}),
        "a long name": ([MANIFEST, long_name], {}),
        "no id": ([MANIFEST, change(HOST, id="")], {}),
        "a thousand labels": ([MANIFEST, change(HOST, labels={str(n): "" for n in range(1000)})], {}),
        "joined in year 20000": ([MANIFEST, change(HOST, joined_at_ms=1 << 62)], {}),
        "another catalogue than it says": ([MANIFEST, HOST, other_series], {}),
        "a catalogue twice": ([*good, SERIES], {}),
        "rows of nobody": ([*good, samples(host=2)], {}),
        "rows of no catalogue": ([*good, samples(catalogue=9)], {}),
        "more rows than there are": ([*good, samples(rows=11)], {}),
        "no rows": ([*good, samples(rows=0)], {}),
        "another size": ([*good, samples(size=16)], {}),
        "rows before the span": ([*good, rows_at(START - 60_000)], {}),
        "rows after the span": ([*good, rows_at(START + 60_000)], {}),
        "rows in year 20000": ([*good, rows_at(1 << 60)], {}),
        "an uneven table": ([*good, tables(uneven)], {}),
        "a table of another time": ([*good, tables(change(TABLE, timestamp_ms=5))], {}),
        "fewer tables than it says": ([*good, change(tables(TABLE), count=3)], {}),
        "an event twice": ([*good, events(EVENT, EVENT)], {}),
        "an event of megabytes": ([*good, events(change(EVENT, message="x" * 5_000))], {}),
        "an event without an id": ([*good, events(change(EVENT, id=0))], {}),
        "other totals": ([*good, samples()], {"rows": 99}),
        "an impossible span": ([change(MANIFEST, until_ms=START - 1)], {}),
        "a span of ages": ([change(MANIFEST, lead_ms=1 << 60)], {}),
    }


@pytest.mark.parametrize("name", list(_bad()))
async def test_a_file_that_lies_is_refused(databases: Open, tmp_path: Path, name: str) -> None:
    """Whatever a sound frame says that cannot be true is damage: a clear error of ours, no traceback, no guess."""
    frames, counted = _bad()[name]
    path = written(tmp_path / "f", *frames, **counted)
    with pytest.raises(MalformedMessageError) as told:
        await unpack_recording(path, *databases)
    assert told.value.error_code == "damaged_recording"
    assert told.value.hint


@pytest.mark.parametrize(("name", "limit"), [("MAX_UNPACKED_BYTES", 100), ("MAX_ROWS", 9)])
async def test_what_unpacks_without_end_is_refused(
    databases: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    """The sum of all blocks is bounded, and the number of rows."""
    monkeypatch.setattr(f"cybercorp.server.unpacking.{name}", limit)
    path = written(tmp_path / "f", MANIFEST, HOST, SERIES, samples(), tables=0, events=0)
    with pytest.raises(MalformedMessageError, match="more than"):
        await unpack_recording(path, *databases)
