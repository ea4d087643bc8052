"""Backup, restore, migration and the move to PostgreSQL: where a server has its data, and what is done with it.

Imported when one of these commands runs: the stores take time to import.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from cybercorp.cli.launch.backup_keys import locked_key, restored_key, unlocked_key
from cybercorp.cli.launch.databases import RECORDS_FILE, SAMPLES_FILE, check_databases
from cybercorp.cli.launch.postgres import check_database
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import InvalidInputError
from cybercorp.core.paths import write_private_file
from cybercorp.core.settings import load_settings
from cybercorp.core.units import format_decimal
from cybercorp.security.key_sources import KEY_FILE, format_key
from cybercorp.server.settings import ServerSettings
from cybercorp.store.backups.archive import Archive, Manifest, write_archive
from cybercorp.store.backups.contents import Contents, Source
from cybercorp.store.backups.sources import PostgresSource, SqliteSource
from cybercorp.store.backups.targets import restore_to_database, restore_to_folder
from cybercorp.store.database_urls import check_url, shown
from cybercorp.store.postgres import Database
from cybercorp.store.records.migrating import Standing
from cybercorp.store.records.postgres import SCHEMA_NAME
from cybercorp.store.records.versions import migrate_to, read_standing
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.store.timeseries.storage.postgres import PostgresStorage

Tell = Callable[[int, int], None]


class Place(NamedTuple):
    """Where a server keeps what it knows: a data folder, or with `url` a database."""

    folder: Path
    url: str = ""

    def __str__(self) -> str:
        return shown(self.url) if self.url else str(self.folder)


def place_of(data_dir: Path, url: str | None = None) -> Place:
    """The place that the server's settings name, or the database that is named here. Raises SettingsError."""
    named = url or load_settings(ServerSettings, program="server").database_url or ""
    if named:
        check_url("database_url", named)
    return Place(data_dir, named)


def back_up(place: Place, path: Path, tell: Tell, *, replace: bool, passphrase_file: Path | None = None) -> Manifest:
    """Write one consistent moment of a place to a file; its server may run.

    With a passphrase the key that opens it is in the file as well, locked. Raises InvalidInputError for a short one.
    """
    key = locked_key(place.folder, passphrase_file) if passphrase_file is not None else None
    with _source(place) as source:
        return write_archive(path, source, str(place), SystemClock().now_ms(), tell, replace=replace, key=key)


def restore(
    path: Path,
    place: Place,
    verifying: Tell,
    restoring: Tell,
    key_file: Path | None = None,
    passphrase_file: Path | None = None,
) -> tuple[Manifest, list[str]]:
    """Verify a file and bring what is in it to an empty place; also what the check found wrong afterwards.

    `key_file` holds the key that the backup's data keys are wrapped with, or the passphrase in `passphrase_file` opens
    it; it is copied to the data folder. Raises AccessError (`key_missing`, `passphrase_wrong`) before anything is made
    where nothing of that, nor the server's settings, has that key.
    """
    with Archive(path) as archive:
        archive.verify(verifying)
        unlocked = unlocked_key(archive.manifest.key, passphrase_file) if passphrase_file is not None else None
        key = restored_key(archive.records("data_keys"), place.folder, key_file, unlocked)
        problems = _fill(archive, place, restoring)
        if key is not None:
            write_private_file(place.folder / KEY_FILE, format_key(key.key))
        return archive.manifest, problems


def move(place: Place, goal: Place, tell: Tell) -> tuple[Contents, list[str]]:
    """Copy everything from a place to an empty database, and check it there. Nothing is taken away."""
    if place.url and place.url == goal.url:
        raise InvalidInputError("The data is in that database already.", hint="Name another one.")
    with _source(place) as source:
        return source.contents, _fill(source, goal, tell)


def numbers_of(contents: Contents) -> str:
    """What is in a backup, in a few words."""
    counts = contents.counts
    parts = (
        (counts.records.get("hosts", 0), "host"),
        (counts.records.get("events", 0), "event"),
        (counts.chunks, "chunk"),
        (counts.log, "commit"),
    )
    told = [f"{format_decimal(number)} {noun}{'' if number == 1 else 's'}" for number, noun in parts]
    return f"{', '.join(told)} not sealed yet"


def revisions_of(at: Standing) -> list[str]:
    """All of them, from "base" to the newest."""
    return ["base", *(step.revision for step in at.known)]


def steps_of(at: Standing, goal: str) -> list[str]:
    """What is done on the way to a revision, one line each."""
    order = revisions_of(at)
    here, there = order.index(at.found or "base"), order.index(goal)
    if there >= here:
        return [f"  up    {step.revision}  {step.title}" for step in at.known[here:there]] or ["  nothing to do"]
    return [f"  down  {step.revision}  {step.title}" for step in reversed(at.known[there:here])]


def check(place: Place) -> list[str]:
    """Everything that is wrong with the data of a place, one sentence each."""
    return check_database(place.url, place.folder) if place.url else check_databases(place.folder)


def schema_of(place: Place) -> Standing:
    """Where the record tables of a place are."""
    return asyncio.run(read_standing(_records(place)))


def migrate(place: Place, revision: str) -> Standing:
    """Bring the record tables to a revision; with "head" also the samples to this version's schema."""
    found = asyncio.run(migrate_to(_records(place), revision))
    if revision == "head":
        _open_samples(place).close()
    return found


def _open_samples(place: Place) -> TimeSeries:
    limits, clock = TimeSeriesSettings(), SystemClock()
    if not place.url:
        return TimeSeries.open(place.folder / SAMPLES_FILE, limits, clock)
    storage = PostgresStorage(place.url)
    try:
        return TimeSeries(storage, place.folder / SAMPLES_FILE, limits, clock)
    except BaseException:
        storage.close()
        raise


def _records(place: Place) -> Path | Database:
    return Database(place.url, SCHEMA_NAME) if place.url else place.folder / RECORDS_FILE


@contextlib.contextmanager
def _source(place: Place) -> Iterator[Source]:
    source: Source = (
        PostgresSource(place.url)
        if place.url
        else SqliteSource(place.folder / RECORDS_FILE, place.folder / SAMPLES_FILE)
    )
    with contextlib.closing(source):
        yield source


def _fill(source: Source, place: Place, tell: Tell) -> list[str]:
    if place.url:
        return restore_to_database(source, place.url, place.folder, tell)
    return restore_to_folder(source, place.folder, RECORDS_FILE, SAMPLES_FILE, tell)
