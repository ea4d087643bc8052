"""A backup from either database, restored to either: everything is there, and a damaged file is never restored."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zipfile
from collections.abc import Callable
from itertools import count, product
from pathlib import Path

import psycopg
import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import ConflictError, InvalidInputError, NotFoundError, StorageError, VersionMismatchError
from cybercorp.protocol.events import Severity
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.metrics import Aggregation
from cybercorp.store.backups.archive import Archive, write_archive
from cybercorp.store.backups.contents import Source, Tell
from cybercorp.store.backups.sources import PostgresSource, SqliteSource
from cybercorp.store.backups.targets import restore_to_database, restore_to_folder
from cybercorp.store.records.agents import ANY, AgentRow, AgentState
from cybercorp.store.records.database import Records
from cybercorp.store.records.events import NewEvent
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.storage.postgres import PostgresStorage
from tests.unit.store.building import START_MS, ask, fill

_NUMBERS = count(1)


class Place:
    """A data folder, or two schemas of a database."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder, self.url = folder, url
        number = next(_NUMBERS)
        self.schemas = {"records": f"r{number}", "samples": f"s{number}"}

    async def records(self) -> Records:
        if self.url:
            return await Records.connect(self.url, schema=self.schemas["records"])
        return await Records.open(self.folder / "records.db")

    def samples(self) -> TimeSeries:
        settings, clock = TimeSeriesSettings(), ManualClock(START_MS)
        if self.url:
            storage = PostgresStorage(self.url, schema=self.schemas["samples"])
            return TimeSeries(storage, self.folder / "samples", settings, clock)
        return TimeSeries.open(self.folder / "samples.db", settings, clock)

    def source(self) -> Source:
        if self.url:
            return PostgresSource(self.url, **self.schemas)
        return SqliteSource(self.folder / "records.db", self.folder / "samples.db")

    def restore(self, source: Source, tell: Tell | None = None) -> list[str]:
        if self.url:
            return restore_to_database(source, self.url, self.folder, tell or _nothing, **self.schemas)
        return restore_to_folder(source, self.folder, "records.db", "samples.db", tell or _nothing)


PlaceOf = Callable[[str], Place]


def _nothing(done: int, expected: int) -> None:
    assert 0 <= done <= expected


@pytest.fixture
def place_of(request: pytest.FixtureRequest, tmp_path: Path) -> PlaceOf:
    def make(kind: str) -> Place:
        folder = tmp_path / f"place-{next(_NUMBERS)}"
        folder.mkdir()
        return Place(folder, request.getfixturevalue("database_url") if kind == "postgresql" else "")

    return make


async def populate(place: Place) -> None:
    records = await place.records()
    await records.hosts.create("web-1", {"env": "prod"}, HostFacts(hostname="w\x00"), 1)
    gone = await records.hosts.create("web-2", {}, HostFacts(), 2)
    await records.hosts.remove(gone.id, 3)
    await records.tokens.create("owner", "a" * 64, 1)
    events = [NewEvent(time_ms=n, kind="k", severity=Severity.INFO, message=f"m{n}\x00") for n in range(1, 6)]
    await records.events.append(events)
    await records.events.delete_before(9)  # the numbers stay used
    await records.events.append(events[:2])
    await records.close()
    with contextlib.closing(place.samples()) as store:
        fill(store, 300)
        store.seal(everything=True)
        fill(store, 40, first_seq=301, start_ms=START_MS + 300_000)
        fill(store, 40, host=3)
        store.drop_host(3)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_agents_go_on_after_a_backup(place_of: PlaceOf, kind: str) -> None:
    """They have newer generations than any backup: the next one that is proven counts. No token to join comes back."""
    place, target = place_of(kind), place_of(kind)
    row = AgentRow(
        host_id="host_1",
        public_key="ab" * 32,
        generation=7,
        mark="m",
        state=AgentState.ACTIVE,
        enrolled_at_ms=1,
        network="192.0.2.1",
    )

    async def begin() -> None:
        await populate(place)
        records = await place.records()
        await records.agents.add(row)
        await records.tokens.create("enrolment", "e" * 64, 1, expires_at_ms=1 << 50)
        await records.close()

    async def look() -> None:
        records = await target.records()
        assert await records.agents.list_() == [row.moved(ANY)]
        assert [token.kind for token in await records.tokens.list_()] == ["owner"]
        await records.close()

    asyncio.run(begin())
    with contextlib.closing(place.source()) as source:
        target.restore(source)
    asyncio.run(look())


async def everything_of(place: Place) -> tuple[object, ...]:
    records = await place.records()
    told: list[object] = [records.epoch, await records.hosts.list_(removed=True), await records.tokens.list_()]
    told.append((await records.events.page()).events)
    [event] = await records.events.append([NewEvent(time_ms=9, kind="k", severity=Severity.INFO, message="next")])
    host = await records.hosts.create("next", {}, HostFacts(), 9)
    await records.close()
    with contextlib.closing(place.samples()) as store:
        end = START_MS + 400_000
        told += [ask(store, START_MS, end, 1000, aggregation) for aggregation in (Aggregation.LAST, Aggregation.RATE)]
        told += [store.acked_seq(1, "s"), store.bounds(), store.latest(1), store.check()]
        assert ask(store, START_MS, end, 1000, Aggregation.LAST, host=3) == {}
        fill(store, 10, first_seq=341, start_ms=end)
        store.seal(everything=True)
        assert ask(store, START_MS, end + 100_000, 500_000, Aggregation.COUNT)["cpu"] == [350]
    return (*told, event.id, host.key)


@pytest.mark.parametrize(("kind", "goal"), list(product(["sqlite", "postgresql"], repeat=2)))
def test_from_either_to_either(place_of: PlaceOf, tmp_path: Path, kind: str, goal: str) -> None:
    """All rows, numbers, acknowledgements and answers are the same, and the store goes on from there."""
    place, other = place_of(kind), place_of(goal)
    asyncio.run(populate(place))
    path = tmp_path / "backup.zip"
    with contextlib.closing(place.source()) as source:
        manifest = write_archive(path, source, "here", START_MS, _nothing)
    assert path.stat().st_mode & 0o777 == 0o600
    counted = {table: count for table, count in manifest.contents.counts.records.items() if count}
    assert counted == {"meta": 1, "hosts": 2, "tokens": 1, "events": 2}
    with Archive(path) as archive:
        archive.verify(_nothing)
        assert archive.manifest == manifest
        assert other.restore(archive) == []
        with pytest.raises(ConflictError) as refused:
            other.restore(archive)
        assert refused.value.error_code == "data_exists"
    assert repr(asyncio.run(everything_of(other))) == repr(asyncio.run(everything_of(place)))  # NaN is NaN


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_one_moment_of_a_running_server(place_of: PlaceOf, tmp_path: Path, kind: str) -> None:
    """What is written, merged and dropped while the backup is made changes nothing in it."""
    place, other = place_of(kind), place_of("sqlite")
    asyncio.run(populate(place))
    with contextlib.closing(place.samples()) as store, contextlib.closing(place.source()) as source:
        fill(store, 60, first_seq=341, start_ms=START_MS + 400_000)
        store.seal(everything=True)
        store.drop_host(1)
        store.retain()
        write_archive(tmp_path / "backup.zip", source, "here", START_MS, _nothing)
    with Archive(tmp_path / "backup.zip") as archive:
        assert other.restore(archive) == []
    with contextlib.closing(other.samples()) as store:
        assert ask(store, START_MS, START_MS + 600_000, 600_000, Aggregation.COUNT)["cpu"] == [340]


@pytest.fixture
def backup(place_of: PlaceOf, tmp_path: Path) -> Path:
    """A good file."""
    place = place_of("sqlite")
    asyncio.run(populate(place))
    path = tmp_path / "good.zip"
    with contextlib.closing(place.source()) as source:
        write_archive(path, source, "here", START_MS, _nothing)
    return path


def test_a_damaged_file(backup: Path, tmp_path: Path) -> None:
    """Cut anywhere, or with any byte changed: it is refused before anything is made, or it was not in the data."""
    data = backup.read_bytes()
    refused = 0
    for place in range(0, len(data), 53):
        flipped = tmp_path / "flipped.zip"
        flipped.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        cut = tmp_path / "cut.zip"
        cut.write_bytes(data[:place])
        with pytest.raises(InvalidInputError), Archive(cut) as archive:
            archive.verify(_nothing)
        try:
            with Archive(flipped) as archive:
                archive.verify(_nothing)
        except (InvalidInputError, VersionMismatchError):
            refused += 1
    assert refused > len(data) / 53 * 0.8  # the others are names and times in the ZIP's own directory


def test_a_file_of_another_kind(tmp_path: Path, backup: Path) -> None:
    """Text, an empty file, a missing one, another ZIP, and a later format: each is named."""
    text = tmp_path / "text"
    text.write_text("hello")
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("a", "b")
    for path in (text, other, tmp_path / "absent"):
        with pytest.raises(InvalidInputError, match=path.name):
            Archive(path)
    with zipfile.ZipFile(backup) as file:
        manifest = json.loads(file.read("manifest.json"))
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("manifest.json", json.dumps({**manifest, "format": 9}))
    with pytest.raises(VersionMismatchError, match="format 9"):
        Archive(other)


def test_nothing_is_overwritten(place_of: PlaceOf, backup: Path) -> None:
    """Neither a file of that name, unless it is meant, nor a partial one is left behind."""
    place = place_of("sqlite")
    with pytest.raises(NotFoundError):
        place.source()
    asyncio.run(populate(place))
    with contextlib.closing(place.source()) as source:
        with pytest.raises(ConflictError, match="exists already"):
            write_archive(backup, source, "here", START_MS, _nothing)
        write_archive(backup, source, "here", START_MS, _nothing, replace=True)
    assert sorted(path.name for path in backup.parent.glob("*.zip*")) == ["good.zip"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_restore_that_was_interrupted(place_of: PlaceOf, backup: Path, kind: str) -> None:
    """Leaves nothing that a server would take for data, and can be done again."""
    place = place_of(kind)

    def stop(done: int, expected: int) -> None:
        raise KeyboardInterrupt

    with Archive(backup) as archive:
        with pytest.raises(KeyboardInterrupt):
            place.restore(archive, stop)
        if place.url:
            with pytest.raises(StorageError, match="not finished"):
                place.samples()
        assert [path.name for path in place.folder.iterdir()] == []
        assert place.restore(archive) == []


def test_tables_of_another_version(place_of: PlaceOf) -> None:
    """A backup is made of what this version knows."""
    place = place_of("postgresql")
    with pytest.raises(NotFoundError):
        place.source()
    asyncio.run(populate(place))
    with psycopg.connect(place.url, autocommit=True) as connection:
        connection.execute(f"UPDATE {place.schemas['samples']}.meta SET value = '99' WHERE key = 'schema'".encode())
    with pytest.raises(StorageError, match="newer"):
        place.source()
