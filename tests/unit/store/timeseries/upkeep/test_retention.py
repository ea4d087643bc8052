"""Dropping by age and by size, and a file that does not grow without bound."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.metrics import Aggregation, Series, make_catalogue
from cybercorp.protocol.processes import ProcessTable
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.reading.rollups import Tier
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.settings import DAY_MS, TimeSeriesSettings
from cybercorp.store.timeseries.upkeep import retention
from tests.unit.store.building import CPU, FIRST, START_MS, ask, fill, open_store, sample
from tests.unit.store.timeseries.reading.test_rollups import Pair, assert_exact, read

HOUR_MS = 3_600_000
WIDE = make_catalogue(Series(name=f"m{i}") for i in range(500))


def _noise(store: TimeSeries, seq: int, rows: int, chance: np.random.Generator) -> int:
    """Rows that cannot be compressed: 4 KB each on disk, a second apart."""
    store.register_catalogue(1, WIDE)
    store.write(
        [
            StoredRow(1, "s", one, START_MS + one * 1000, START_MS, 1, WIDE.id, chance.normal(size=500).tobytes())
            for one in range(seq, seq + rows)
        ]
    )
    store.seal(everything=True)
    return seq + rows


def test_what_is_too_old_is_dropped(tmp_path: Path) -> None:
    """Whole chunks, only those whose last row is too old; the report names how much and when."""
    clock = ManualClock(START_MS)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        for day in range(5):
            fill(store, 60, start_ms=START_MS + day * DAY_MS, first_seq=1 + 60 * day)
            store.seal(everything=True)
            store.retain()
            clock.advance(DAY_MS / 1000)
        clock.advance(10.5 * DAY_MS / 1000)
        report = store.retain()
        assert (report.chunks, report.rows) == (2, 120)
        assert (report.oldest_ms, report.newest_ms) == (START_MS, START_MS + DAY_MS + 59_000)
        assert report.size_bytes > 0
        raw = store.stats().tiers[0]
        assert (raw.oldest_ms, raw.newest_ms) == (START_MS + 2 * DAY_MS, START_MS + 4 * DAY_MS + 59_000)
        assert store.bounds() == (START_MS, raw.newest_ms)  # minutes are kept for longer
        assert store.retain().chunks == 0


def test_process_tables_have_their_own_age(tmp_path: Path) -> None:
    """They may be kept for a shorter time than samples."""
    clock = ManualClock(START_MS)
    settings = TimeSeriesSettings(processes_retention_ms=HOUR_MS)
    with contextlib.closing(open_store(tmp_path, clock, settings)) as store:
        fill(store, 60)
        body = msgspec.msgpack.encode(ProcessTable(timestamp_ms=START_MS, total=0))
        store.write([StoredRow(1, "s", 61, START_MS, START_MS, RecordType.PROCESSES, "", body)])
        store.seal(everything=True)
        clock.advance(2 * HOUR_MS / 1000)
        assert store.retain().chunks == 1
        assert store.processes_at(1, START_MS, 1000) is None
        assert store.row_at(1, START_MS, 1000) is not None


def test_timestamps_of_the_future_are_dropped_too(tmp_path: Path) -> None:
    """A host whose clock is a hundred years ahead cannot make its rows immortal: they age by when they came."""
    clock = ManualClock(START_MS)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        store.register_catalogue(1, FIRST)
        store.write([sample(1, START_MS + 36_500 * DAY_MS, 0.5, 1.0)._replace(received_ms=START_MS)])
        store.seal(everything=True)
        clock.advance(15 * DAY_MS / 1000)
        assert store.retain().chunks == 1


def test_a_jump_of_the_clock_does_not_delete_history_at_once(tmp_path: Path) -> None:
    """+400 days: nothing is dropped for an hour, and the report says why; set right again, nothing was lost."""
    clock = ManualClock(START_MS)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        fill(store, 60)
        store.seal(everything=True)
        store.retain()
        clock.step_wall(400 * 86_400)
        report = store.retain()
        assert report.chunks == 0
        assert "400 days ahead" in report.held
        clock.advance(1800)
        assert store.retain().held
        clock.step_wall(-400 * 86_400)
        assert store.retain().held == ""
        assert store.stats().chunks == 1
    clock.step_wall(400 * 86_400)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        assert store.retain().held
        clock.advance(3601)
        assert store.retain().chunks == 1


def test_the_oldest_goes_when_there_is_too_much(tmp_path: Path) -> None:
    """The database stays near its limit however long it is fed, and the newest history is kept."""
    limit = 4 * 1024**2
    chance = np.random.default_rng(3)
    settings = TimeSeriesSettings(max_bytes=limit)
    sizes = []
    with contextlib.closing(open_store(tmp_path, ManualClock(START_MS), settings)) as store:
        seq = 1
        dropped = 0
        for _ in range(30):
            seq = _noise(store, seq, 100, chance)
            dropped += store.retain().rows
            sizes.append(store.stats().file_bytes)
        assert dropped > 1500
        bounds = store.bounds()
        assert bounds is not None
        assert bounds[1] == START_MS + (seq - 1) * 1000
        assert store.stats().file_bytes - store.stats().unused_bytes <= limit
        assert max(sizes) < 3 * limit
        assert max(sizes[15:]) < 1.05 * max(sizes[:15])
        assert store.check() == []


def test_unused_space_goes_back_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a large host was dropped the file shrinks, but for a reserve that the log reuses."""
    monkeypatch.setattr(retention, "SLACK_BYTES", 2 * 1024**2)
    chance = np.random.default_rng(3)
    with contextlib.closing(open_store(tmp_path)) as store:
        seq = 1
        for _ in range(4):
            seq = _noise(store, seq, 600, chance)
        before = store.stats().file_bytes
        store.drop_host(1)
        store.retain()
        after = store.stats().file_bytes
    assert before > 8 * 1024**2
    assert after < 4 * 1024**2


def test_catalogues_that_nobody_needs_are_deleted(tmp_path: Path) -> None:
    """After a restart, when no row refers to it and no agent has named it again."""
    clock = ManualClock(START_MS)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        fill(store, 10)
        store.seal(everything=True)
        store.drop_host(1)
        store.retain()
        assert store.knows_catalogue(2, FIRST.id)
    with contextlib.closing(open_store(tmp_path, clock)) as store:
        store.retain()
        assert not store.knows_catalogue(2, FIRST.id)
        fill(store, 10, first_seq=100)
        assert ask(store, START_MS, START_MS + 10_000, 10_000, Aggregation.COUNT)[CPU.key] == [10.0]


def test_a_closed_file_has_no_unused_pages(tmp_path: Path) -> None:
    """What the log and merged chunks left behind is given back when the store is closed."""
    with contextlib.closing(open_store(tmp_path)) as store:
        _noise(store, 1, 300, np.random.default_rng(3))
        unused = store.stats().unused_bytes
    with contextlib.closing(open_store(tmp_path)) as store:
        assert store.stats().unused_bytes == 0 < unused
        assert store.check() == []


def _settled(folder: Path, settings: TimeSeriesSettings | None = None) -> Pair:
    """Two days of a row every five minutes, all settled."""
    pair = Pair(folder, settings)
    for quarter in range(48 * 4):
        pair.act([(quarter * 900 + second, False, second / 10, quarter * 900.0 + second, 0.0) for second in (0, 300)])
        pair.clock.advance(900)
        if quarter % 4 == 3:
            pair.act("seal")
    pair.act("a day")
    return pair


def _let_pass(pair: Pair, days: float) -> None:
    """So much later, with a clock that is believed."""
    pair.clock.advance(days * DAY_MS / 1000)
    for _ in range(2):
        pair.store.retain()
        pair.clock.advance(3700)


def test_minutes_outlive_rows_and_hours_outlive_minutes(tmp_path: Path) -> None:
    """Each tier goes at its own age, and what is left answers exactly, also after a restart."""
    pair = _settled(tmp_path)
    end = START_MS + 48 * HOUR_MS
    _let_pass(pair, 20)
    raw, minutes, hours, _ = pair.store.stats().tiers
    assert raw.chunks == 0
    assert minutes.rows > 0
    pair.act("restart")
    assert_exact(read(pair.store, Tier.MINUTE, START_MS, end), pair.rows, Tier.MINUTE, START_MS, end)
    assert_exact(read(pair.store, Tier.HOUR, START_MS, end), pair.rows, Tier.HOUR, START_MS, end)
    late = [(3 * 3600 + 61 + second, False, 4.0, 5.0, 6.0) for second in range(3)]
    pair.act(late)
    for action in ("seal", "five hours"):
        assert_exact(read(pair.store, Tier.MINUTE, START_MS, end), pair.rows, Tier.MINUTE, START_MS, end)
        assert_exact(read(pair.store, Tier.HOUR, START_MS, end), pair.rows, Tier.HOUR, START_MS, end)
        pair.act(action)
    assert_exact(read(pair.store, Tier.HOUR, START_MS, end), pair.rows, Tier.HOUR, START_MS, end)
    _let_pass(pair, 100)
    raw, minutes, hours, _ = pair.store.stats().tiers
    assert (raw.chunks, minutes.chunks) == (0, 0)
    assert hours.rows > 0
    assert_exact(read(pair.store, Tier.HOUR, START_MS, end), pair.rows, Tier.HOUR, START_MS, end)
    assert pair.store.bounds() is not None
    _let_pass(pair, 700)
    assert pair.store.bounds() is None
    pair.store.close()


def test_when_space_is_short_rows_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes and hours stay as long as dropping rows is enough; a tier's own limit takes its oldest."""
    pair = _settled(tmp_path, TimeSeriesSettings(max_bytes=1))
    before = pair.store.stats().tiers
    pair.store.retain()
    assert all(one.chunks == 0 for one in pair.store.stats().tiers)
    pair.store.close()
    folder = tmp_path / "second"
    folder.mkdir()
    pair = _settled(folder, TimeSeriesSettings(hours_max_bytes=1))
    pair.store.retain()
    after = pair.store.stats().tiers
    assert [one.rows for one in after[:2]] == [one.rows for one in before[:2]]
    assert after[2].chunks == 0
    sizes = pair.store._session.storage.sizes()
    used = sizes.file_bytes - sizes.unused_bytes
    pair.store.close()
    monkeypatch.setattr(retention, "SIZE_TARGET", 1.0)
    with contextlib.closing(open_store(folder, pair.clock, TimeSeriesSettings(max_bytes=used - 500))) as store:
        store.retain()
        raw, minutes, *_ = store.stats().tiers
        assert raw.rows < after[0].rows
        assert minutes.rows == after[1].rows
