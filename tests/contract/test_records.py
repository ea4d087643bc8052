"""The record tables on both databases: migrations up and down, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from cybercorp.core.errors import (
    ConflictError,
    InvalidInputError,
    StorageCorruptError,
    StorageNewerError,
    StorageUnwritableError,
)
from cybercorp.protocol.events import Severity
from cybercorp.protocol.hosts import HostFacts
from cybercorp.store.records.connections import Connections
from cybercorp.store.records.events import NewEvent
from cybercorp.store.records.tables import METADATA
from cybercorp.store.records.versions import migrate_to, read_standing
from tests.contract.conftest import Where, opened

ResultT = TypeVar("ResultT")


async def inside(where: Where, work: Callable[[Connection], ResultT]) -> ResultT:
    connections = Connections(where)
    try:
        async with connections.writing() as connection:
            return await connection.run_sync(work)
    finally:
        await connections.close()


def tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"sqlite_sequence"}


async def test_what_was_written_is_there_after_a_restart(where: Where) -> None:
    """And its size is told."""
    first = await opened(where)
    host = await first.hosts.create("web-1", {}, HostFacts(), 1)
    await first.ping()
    assert await first.size_bytes() > 0
    epoch = first.epoch
    await first.close()
    second = await opened(where)
    assert await second.hosts.get("web-1") == host
    assert second.epoch == epoch
    await second.close()


async def test_migrations_go_down_and_up_again(where: Where) -> None:
    """The way down leaves no table, the way up makes them all."""
    records = await opened(where)
    await records.migrate("base")
    await records.close()
    assert await inside(where, tables) == {"alembic_version"}
    standing = await migrate_to(where, "head")
    assert standing.found == standing.known[-1].revision
    assert {"hosts", "tokens", "events", "meta"} <= await inside(where, tables)
    records = await opened(where)
    await records.hosts.create("web-1", {}, HostFacts(), 1)
    await records.close()


async def test_every_revision_goes_both_ways(where: Where) -> None:
    """Step by step up, step by step down, and the tables are the declared ones at the end."""
    revisions = [step.revision for step in (await read_standing(where)).known]
    for revision in [*revisions, *revisions[-2::-1], "base", "head"]:
        assert (await migrate_to(where, revision)).found == {"base": None, "head": revisions[-1]}.get(
            revision, revision
        )
    with pytest.raises(InvalidInputError, match="no revision 'nowhere'"):
        await migrate_to(where, "nowhere")


async def test_migrations_make_what_the_tables_declare(where: Where) -> None:
    """Alembic finds no difference between the scripts and the declarations."""
    await migrate_to(where, "head")

    def compare(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    assert await inside(where, compare) == []


async def test_large_numbers_and_any_text(where: Where) -> None:
    """Times beyond 32 bits, NUL, the mark that stands for it, and JSON inside of text."""
    records = await opened(where)
    far = 253_402_300_799_000
    message = 'a\x00b\U0010ffffc\U0010ffff0"\\u0000"\u202e😀'
    [event] = await records.events.append(
        [NewEvent(time_ms=far, kind="k", severity=Severity.INFO, message=message, attributes={"a\x00": "\x00"})]
    )
    assert (await records.events.page()).events == [event]
    host = await records.hosts.create("n\x00m", {"k": "v\x00"}, HostFacts(), far)
    assert await records.hosts.find("n\x00m") == host
    assert await records.hosts.find("n\x00") is None
    await records.hosts.update_seen({host.key: far})
    assert (await records.hosts.get(host.id)).seen_at_ms == far
    await records.close()


async def test_hosts_are_listed_in_one_order(where: Where) -> None:
    """By code points, whatever the database's own order is."""
    records = await opened(where)
    names = ["b", "B", "a-1", "a1", "ä", "_", "z"]
    for name in names:
        await records.hosts.create(name, {}, HostFacts(), 1)
    assert [host.name for host in await records.hosts.list_()] == sorted(names)
    await records.close()


async def test_a_second_server(where: Where) -> None:
    """One at a time; a refused opening leaves nothing locked."""
    first = await opened(where)
    with pytest.raises(ConflictError) as caught:
        await opened(where)
    assert caught.value.error_code == "storage_in_use"
    await first.close()
    await (await opened(where)).close()


async def test_a_newer_version(where: Where) -> None:
    """Which revision it has, and what to install."""
    await (await opened(where)).close()
    await inside(where, lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '0099'")))
    with pytest.raises(StorageNewerError, match="schema 0099"):
        await opened(where)


async def test_tables_of_another_program(where: Where) -> None:
    """They are refused and left as they were."""
    await inside(where, lambda connection: connection.execute(text("CREATE TABLE notes (a int)")))
    with pytest.raises(StorageCorruptError, match=r"another program|not ours"):
        await opened(where)
    assert await inside(where, tables) == {"notes"}


async def test_readers_cannot_write(where: Where) -> None:
    """They are opened read-only."""
    await (await opened(where)).close()
    connections = Connections(where)
    with pytest.raises(StorageUnwritableError):
        async with connections.reading() as connection:
            await connection.execute(text("DELETE FROM events"))
    await connections.close()
