"""What the engine may expect of a database: one suite at the seam, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import ConflictError, StorageNewerError
from cybercorp.protocol.metrics import Aggregation
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.index import BUCKET_MS
from cybercorp.store.timeseries.settings import DAY_MS, TimeSeriesSettings
from cybercorp.store.timeseries.storage.contract import (
    CatalogueRow,
    ChunkEntry,
    ChunkGoneError,
    ChunkStorage,
    HostMark,
    LogEntry,
)
from cybercorp.store.timeseries.storage.postgres import PostgresStorage
from cybercorp.store.timeseries.storage.sqlite import SqliteStorage
from tests.contract.opening import schema_of
from tests.unit.store.building import FIRST, START_MS, ask, fill

SAMPLES, PROCESSES, MINUTES = 1, 2, 3
LONG = bytes(range(256)) * 1024  # more than is read with the first question


class Opening:
    """Opens the same storage again and again."""

    def __init__(self, make: Callable[[], ChunkStorage]) -> None:
        self._make = make
        self.storage = make()

    def again(self) -> ChunkStorage:
        self.storage.close()
        self.storage = self._make()
        return self.storage


@pytest.fixture(params=["sqlite", "postgresql"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], ChunkStorage]:
    if request.param == "sqlite":
        return lambda: SqliteStorage(tmp_path / "samples.db")
    url = request.getfixturevalue("database_url")
    return lambda: PostgresStorage(url, schema=schema_of(tmp_path))


@pytest.fixture
def opening(make: Callable[[], ChunkStorage]) -> Iterator[Opening]:
    opened = Opening(make)
    yield opened
    opened.storage.close()


def entry(number: int, *, host: int = 1, kind: int = SAMPLES, at_ms: int = START_MS, size: int = 3) -> ChunkEntry:
    return ChunkEntry(
        number, host, kind, 1, at_ms // BUCKET_MS, number, number, at_ms, at_ms + 1000, 2, size, at_ms + 60_000
    )


def body(storage: ChunkStorage, number: int, offset: int = 0, length: int = 1 << 20) -> bytes:
    with storage.reader() as reader, reader.open(number) as read:
        return read(offset, length)


def test_an_empty_store(opening: Opening) -> None:
    """Has nothing, and numbers its log from 1."""
    loaded = opening.storage.load()
    assert (loaded.catalogues, loaded.chunks, loaded.streams, loaded.marks, loaded.damage) == ([], [], [], [], [])
    assert loaded.next_log == 1
    assert list(opening.storage.log_heads()) == []
    assert list(opening.storage.check()) == []
    assert opening.storage.sizes().file_bytes > 0


def test_the_log(opening: Opening) -> None:
    """What was appended is there after a restart, heads without bodies, until it is trimmed; numbers are not reused."""
    storage = opening.storage
    catalogue = CatalogueRow(1, "c1", 2, b"packed")
    storage.append(LogEntry(1, START_MS, b"head 1", LONG), [catalogue])
    storage.append(LogEntry(2, START_MS + 1, b"head 2", b"body"), [])
    storage = opening.again()
    loaded = storage.load()
    assert loaded.catalogues == [catalogue]
    assert loaded.next_log == 3
    assert list(storage.log_heads()) == [(1, START_MS, b"head 1"), (2, START_MS + 1, b"head 2")]
    with storage.reader() as reader:
        assert reader.log_head(2) == b"head 2"
        with reader.log_body(1) as read:
            assert read(0, 1 << 30) == LONG
            assert read(100_000, 10) == LONG[100_000:100_010]
            assert read(len(LONG) - 2, 10) == LONG[-2:]
        with pytest.raises(ChunkGoneError):
            reader.log_head(99)
    assert storage.oldest_log(2, 1)[0] == 1
    storage.trim_log(2, 3, [(1, "s", 7), (1, "\x00ü", 8)])
    assert list(storage.log_heads()) == []
    loaded = opening.again().load()
    assert loaded.next_log == 3
    assert sorted(loaded.streams) == [(1, "\x00ü", 8), (1, "s", 7)]


def test_trimming_a_long_log(opening: Opening) -> None:
    """What lies after the mark stays, across every boundary of partitions."""
    storage = opening.storage
    numbers = [1, 1022, 1023, 1024, 1025, 2047, 2048, 2049, 5000]
    for number in numbers:
        storage.append(LogEntry(number, START_MS + number, b"h", b"b"), [])
    for up_to in (1, 1023, 2048):
        storage.trim_log(up_to, 5001, [])
        assert [number for number, _, _ in storage.log_heads()] == [one for one in numbers if one > up_to]
    assert opening.again().load().next_log == 5001
    opening.storage.append(LogEntry(5001, START_MS, b"h", b"b"), [])
    assert opening.storage.oldest_log(5000, 1 << 20) == [2049, 5000]


def test_chunks(opening: Opening) -> None:
    """Added, read whole and in part, replaced, deleted; the others stay."""
    storage = opening.storage
    storage.add_chunks(
        [(entry(1), b"one"), (entry(2, size=len(LONG)), LONG), (entry(3, kind=MINUTES), b"min")], [HostMark(1, 5, 0)]
    )
    assert body(storage, 1) == b"one"
    assert body(storage, 2) == LONG
    assert body(storage, 2, 40_000, 5) == LONG[40_000:40_005]
    storage.replace_chunks([1, 2], entry(4, size=4), b"both")
    for number in (1, 2):
        with pytest.raises(ChunkGoneError):
            body(storage, number)
    assert body(storage, 4) == b"both"
    storage.delete_chunks([3])
    loaded = opening.again().load()
    assert loaded.chunks == [entry(4, size=4)]
    assert loaded.marks == [HostMark(1, 5, 0)]
    assert loaded.next_log == 6
    assert list(opening.storage.check()) == []


def test_times_of_every_kind(opening: Opening) -> None:
    """The first second of 1970, the last of 9999, and before 1970: each lands somewhere and is found again."""
    times = [0, 253_402_300_799_000, -1, START_MS]
    for number, at_ms in enumerate(times, start=1):
        opening.storage.add_chunks([(entry(number, at_ms=at_ms), b"%d" % number)], [])
        opening.storage.replace_chunks([number], entry(10 + number, at_ms=at_ms), b"%d" % number)
    storage = opening.again()
    assert [one.start_ms for one in sorted(storage.load().chunks)] == times
    assert [body(storage, 11 + place) for place in range(4)] == [b"1", b"2", b"3", b"4"]


def test_retention_of_one_kind(opening: Opening) -> None:
    """Days go as a whole, kind by kind, and what is left is all there."""
    storage = opening.storage
    for day in range(5):
        at_ms = START_MS + day * DAY_MS
        samples, minutes = entry(10 + day, at_ms=at_ms), entry(20 + day, at_ms=at_ms, kind=MINUTES)
        storage.add_chunks([(samples, b"s"), (minutes, b"m")], [], settled=True)
    storage.drop_before(SAMPLES, START_MS + 3 * DAY_MS, [10, 11, 12])
    storage.shrink(1 << 20)
    assert sorted(one.id for one in storage.load().chunks) == [13, 14, 20, 21, 22, 23, 24]
    for number in (10, 11, 12):
        with pytest.raises(ChunkGoneError):
            body(storage, number)
    assert body(storage, 13) == b"s"
    assert body(storage, 20) == b"m"


def test_a_host_that_is_removed(opening: Opening) -> None:
    """Its chunks belong to nobody, its streams are forgotten, its mark stays."""
    storage = opening.storage
    storage.add_chunks([(entry(1), b"a"), (entry(2, host=2), b"b")], [])
    storage.trim_log(0, 9, [(1, "s", 1), (2, "s", 2)])
    storage.drop_host(HostMark(1, 0, 8), [entry(1)])
    loaded = opening.again().load()
    assert sorted((one.id, one.host) for one in loaded.chunks) == [(1, -1), (2, 2)]
    assert loaded.streams == [(2, "s", 2)]
    assert loaded.marks == [HostMark(1, 0, 8)]


def test_meta_and_catalogues(opening: Opening) -> None:
    """Values are replaced; catalogues are added and deleted by number."""
    storage = opening.storage
    storage.set_meta({"a": "1", "b": "2"})
    storage.set_meta({"a": "3"})
    storage.add_catalogues([CatalogueRow(1, "one", 1, b"1"), CatalogueRow(2, "two", 2, b"2")])
    storage.delete_catalogues([1])
    storage = opening.again()
    assert {key: value for key, value in storage.meta().items() if key in "ab"} == {"a": "3", "b": "2"}
    assert [one.number for one in storage.load().catalogues] == [2]


def test_only_one_writer(opening: Opening, make: Callable[[], ChunkStorage]) -> None:
    """A second one is refused, and may come when the first has gone."""
    with pytest.raises(ConflictError) as refused:
        make()
    assert refused.value.error_code == "storage_in_use"
    opening.again()


def test_reopening(opening: Opening) -> None:
    """All handles are made anew and nothing is lost."""
    opening.storage.append(LogEntry(1, START_MS, b"h", b"b"), [])
    opening.storage.reopen()
    assert [number for number, _, _ in opening.storage.log_heads()] == [1]
    opening.storage.append(LogEntry(2, START_MS, b"h", b"b"), [])


def test_a_newer_schema(opening: Opening, make: Callable[[], ChunkStorage]) -> None:
    """Is refused with the number it has."""
    opening.storage.set_meta({"schema": "99"})
    opening.storage.close()
    with pytest.raises(StorageNewerError, match="schema 99"):
        make()


def test_the_engine_over_a_day(make: Callable[[], ChunkStorage], tmp_path: Path) -> None:
    """Written, sealed, merged, retained by age, a host removed, restarted: the counts are those of what is kept."""
    clock = ManualClock(START_MS)
    settings = TimeSeriesSettings(retention_ms=DAY_MS, processes_retention_ms=DAY_MS)
    store = TimeSeries(make(), tmp_path / "samples", settings, clock)
    try:
        for hour in range(0, 40, 2):
            clock.advance(7200.0)
            for host in (1, 2):
                fill(store, 60, host=host, start_ms=clock.now_ms(), first_seq=1 + hour * 60)
            store.seal(everything=True)
            store.retain()
        store.drop_host(2)
        store.retain()
    finally:
        store.close()
    store = TimeSeries(make(), tmp_path / "samples", settings, clock)
    try:
        end = clock.now_ms() + 3_600_000
        counted = ask(store, end - 60 * 3_600_000, end, 60 * 3_600_000, Aggregation.COUNT)
        assert 12 * 60 <= counted["cpu"][0] <= 13 * 60
        assert ask(store, end - 60 * 3_600_000, end, 60 * 3_600_000, Aggregation.COUNT, host=2) == {}
        assert store.check() == []
        assert store.knows_catalogue(1, FIRST.id)
    finally:
        store.close()
