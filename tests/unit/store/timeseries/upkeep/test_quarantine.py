"""Damaged chunks: set aside for good, told, never merged; damaged rollups are made anew from finer history."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from pathlib import Path

import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.protocol.metrics import Aggregation
from cybercorp.store.timeseries.reading.rollups import Tier
from cybercorp.store.timeseries.rollup_index import HOURS, MINUTES
from cybercorp.store.timeseries.settings import DAY_MS, TimeSeriesSettings
from tests.unit.store.building import CPU, START_MS, ask, open_store
from tests.unit.store.timeseries.reading.test_rollups import HOUR_MS, Pair, assert_exact, read

MINUTE_MS = 60_000


def _damage(folder: Path, kind: int, offset: int) -> None:
    """Flip a bit of the first chunk of a kind, so many bytes from its end (negative) or beginning."""
    with contextlib.closing(sqlite3.connect(folder / "samples.db", isolation_level=None)) as database:
        (number, body) = database.execute(
            "SELECT id, body FROM chunks JOIN chunk_bodies USING (id) WHERE kind = ? ORDER BY id LIMIT 1", (kind,)
        ).fetchone()
        broken = bytearray(body)
        broken[offset] ^= 4
        database.execute("UPDATE chunk_bodies SET body = ? WHERE id = ?", (bytes(broken), number))


def _history(folder: Path) -> Pair:
    """Two days of a row every five minutes, all settled."""
    pair = Pair(folder)
    for quarter in range(48 * 4):
        pair.act([(quarter * 900 + second, False, second / 10, quarter * 900.0 + second, 0.0) for second in (0, 300)])
        pair.clock.advance(900)
        if quarter % 4 == 3:
            pair.act("seal")
    pair.act("a day")
    return pair


def test_a_damaged_chunk_is_set_aside_for_good(tmp_path: Path) -> None:
    """Its range is a hole and told, also after a restart; it is merged with nothing; the rest is right."""
    clock = ManualClock(START_MS)
    pair = Pair(tmp_path)
    for minute in range(3):
        pair.act([(minute * 60 + second, False, 1.0, 2.0, 3.0) for second in range(60)])
        pair.act("seal")
    pair.store.close()
    _damage(tmp_path, 1, 8)
    for attempt in range(2):
        with contextlib.closing(open_store(tmp_path, clock)) as store:
            found = ask(store, START_MS, START_MS + 3 * MINUTE_MS, MINUTE_MS, Aggregation.COUNT)[CPU.key]
            assert math.isnan(found[0])
            assert found[1:] == [60.0, 60.0]
            reports = store.seal().damaged
            assert len(reports) == (1 if attempt == 0 else 0)
            (said,) = store.damage()
            assert "set aside" in said
            assert f"60 rows from {START_MS} to {START_MS + 59_000} ms" in said
            assert store.stats().damaged == 1
            assert store.stats().tiers[0].chunks == 2
            assert said in store.check()
    clock.advance(20 * 3600)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        store.seal()
        found = ask(store, START_MS, START_MS + 3 * MINUTE_MS, 3 * MINUTE_MS, Aggregation.COUNT)[CPU.key]
        assert found == [120.0]
        clock.advance(15 * DAY_MS / 1000)
        for _ in range(2):
            store.retain()
            clock.advance(3700)
        assert store.damage() == []


@pytest.mark.parametrize("kind", [MINUTES, HOURS])
@pytest.mark.parametrize("offset", [8, -2])
def test_a_damaged_rollup_is_made_anew(tmp_path: Path, kind: int, offset: int) -> None:
    """In its header or in a series: every answer is right all the while, from rows, and the rollup comes back."""
    pair = _history(tmp_path)
    end = START_MS + 48 * HOUR_MS
    before = {tier.name: tier for tier in pair.store.stats().tiers}
    _damage(tmp_path, kind, offset)
    for tier in (Tier.MINUTE, Tier.HOUR):
        assert_exact(read(pair.store, tier, START_MS, end), pair.rows, tier, START_MS, end)
    (told,) = pair.store.seal().damaged
    assert "is made anew" in told
    pair.act("seal")
    for tier in (Tier.MINUTE, Tier.HOUR):
        assert_exact(read(pair.store, tier, START_MS, end), pair.rows, tier, START_MS, end)
    pair.act("a day")
    after = {tier.name: tier for tier in pair.store.stats().tiers}
    assert after["1m"].rows == before["1m"].rows
    assert after["1h"].rows == before["1h"].rows
    assert pair.store.damage() == []
    assert pair.store.check() == []
    pair.store.close()


def test_a_damaged_rollup_without_rows_is_a_hole(tmp_path: Path) -> None:
    """Nothing is left to make it from: it is set aside and told; the hours, which know it too, still answer."""
    pair = _history(tmp_path)
    pair.clock.advance(20 * DAY_MS / 1000)
    for _ in range(2):
        pair.store.retain()
        pair.clock.advance(3700)
    assert pair.store.stats().tiers[0].rows == 0
    _damage(tmp_path, MINUTES, 8)
    end = START_MS + 48 * HOUR_MS
    found = read(pair.store, Tier.MINUTE, START_MS, end)
    assert 0 < len(found.starts) < 48 * 12
    (told,) = pair.store.seal().damaged
    assert "set aside" in told
    assert_exact(read(pair.store, Tier.HOUR, START_MS, end), pair.rows, Tier.HOUR, START_MS, end)
    pair.store.close()
    with contextlib.closing(open_store(tmp_path, pair.clock, TimeSeriesSettings())) as store:
        assert store.damage() == [told]
        assert_exact(read(store, Tier.HOUR, START_MS, end), pair.rows, Tier.HOUR, START_MS, end)
