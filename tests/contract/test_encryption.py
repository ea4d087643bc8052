"""Process tables on both databases: encrypted whatever is done with them, and back as they came."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.security.vault import Vault, new_key
from cybercorp.store.timeseries.engine import TimeSeries
from tests.attacks.searching import holds
from tests.contract.opening import open_postgres, schema_of
from tests.unit.store.building import START_MS, fill, open_store
from tests.unit.store.timeseries.test_encryption import MARKER, commands, write


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_readable_and_nothing_is_lost(
    database: str, seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Writing, sealing, merging, restarts and rotations in any order: the database never shows a command line, every
    table is there, and with the last key alone.
    """
    url = request.getfixturevalue("database_url") if database == "postgresql" else ""
    clock, chance = ManualClock(START_MS), random.Random(f"{seed}")
    keys = {1: new_key()}

    def opened() -> TimeSeries:
        made = open_postgres(url, tmp_path, clock) if url else open_store(tmp_path, clock)
        made.encrypt_with(Vault(keys, max(keys)))
        return made

    store, rows = opened(), 0
    for action in (one for _ in range(25) for one in chance.sample(["write", "write", "seal", "wait"], 4)):
        if action == "write":
            fill(store, 3, start_ms=clock.now_ms(), first_seq=2 + rows * 4)
            write(store, 1 + rows * 4 + 4, (clock.now_ms() - START_MS) / 60_000)
            rows += 1
        elif action == "seal":
            store.seal(everything=chance.random() < 0.5)
        clock.advance(chance.choice([1, 30, 600]))
        if chance.random() < 0.1:
            keys[max(keys) + 1] = new_key()
            store.encrypt_with(Vault(keys, max(keys)))
        elif chance.random() < 0.1:
            store.close()
            store = opened()
        store.reencrypt(2)
        if chance.random() < 0.2:
            assert not any(holds(value, MARKER.encode()) for value in _values(tmp_path, url))
    assert commands(store) == [MARKER] * rows
    store.seal(everything=True)
    while not store.reencrypt():
        pass
    keys = {max(keys): keys[max(keys)]}
    store.close()
    store = opened()
    assert commands(store) == [MARKER] * rows
    assert not any(holds(value, MARKER.encode()) for value in _values(tmp_path, url))
    assert store.check() == []
    assert store.damage() == []
    store.close()


def _values(folder: Path, url: str) -> Iterator[bytes]:
    """Every body in the database."""
    if not url:
        with contextlib.closing(sqlite3.connect(folder / "samples.db")) as database:
            for table in ("log", "chunk_bodies"):
                yield from (bytes(body) for (body,) in database.execute(f"SELECT body FROM {table}"))
        return
    with psycopg.connect(url) as connection:
        for table in ("log", "chunk_bodies"):
            found = connection.execute(f"SELECT body FROM {schema_of(folder)}.{table}".encode())
            yield from (bytes(body) for (body,) in found)
