"""Minutes and hours on both databases: made, joined, restarted, outlived by nothing that they should not be."""

from __future__ import annotations

from pathlib import Path

import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.reading.rollups import Tier
from cybercorp.store.timeseries.settings import DAY_MS
from tests.contract.opening import open_postgres
from tests.unit.store.building import START_MS, open_store
from tests.unit.store.timeseries.reading.test_rollups import HOUR_MS, Pair, assert_exact, read


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_tiers_are_exact_and_outlive_rows(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Two days with other catalogues, duplicates and late rows: equal to the rows, also when these are gone."""
    url = request.getfixturevalue("database_url") if database == "postgresql" else ""

    def opener(folder: Path, clock: ManualClock) -> TimeSeries:
        return open_postgres(url, folder, clock) if url else open_store(folder, clock)

    pair = Pair(tmp_path, opener=opener)
    end = START_MS + 48 * HOUR_MS
    for hour in range(48):
        rows = [(hour * 3600 + second, hour % 9 == 8, second / 10, second * 3.0, 1.0) for second in range(0, 3600, 450)]
        pair.act(rows)
        if hour % 7 == 6:
            pair.act([(at - 7200, other, a + 1, b, c) for at, other, a, b, c in rows[:2]])
        pair.clock.advance(3600)
        pair.act("seal")
    for action in ("five hours", "restart", "a day"):
        pair.act(action)
        for tier in (Tier.MINUTE, Tier.HOUR):
            assert_exact(read(pair.store, tier, START_MS, end), pair.rows, tier, START_MS, end)
    pair.clock.advance(20 * DAY_MS / 1000)
    for _ in range(2):
        pair.store.retain()
        pair.clock.advance(3700)
    assert pair.store.stats().tiers[0].rows == 0
    pair.act("restart")
    for tier in (Tier.MINUTE, Tier.HOUR):
        assert_exact(read(pair.store, tier, START_MS, end), pair.rows, tier, START_MS, end)
    assert pair.store.check() == []
    pair.store.close()
