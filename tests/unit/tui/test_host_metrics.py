"""What is known about a host: decoded rows, rates, histories, past instants."""

from __future__ import annotations

import math

import pytest

from cybercorp.protocol.metrics import HostLatest, LatestValue, MetricKind, QueryAnswer, SeriesPoints
from cybercorp.tui.state.host_metrics import HostMetrics
from tests.unit.tui.host_rows import HostRows


def live(rows: HostRows, seconds: int = 3) -> HostMetrics:
    metrics = HostMetrics()
    rows.feed(metrics, seconds=seconds)
    return metrics


def test_a_row_is_read_by_the_catalogue() -> None:
    """Slots of the catalogue give values; what is absent or NaN is unknown."""
    rows = HostRows(cores=2)
    rows.set('system.cpu.utilization{cpu="1"}', math.nan)
    metrics = live(rows)
    assert metrics.value(metrics.catalogue.memory_ratio) == pytest.approx(20.4 / 32)
    assert [metrics.value(slot) for _, slot in metrics.catalogue.cores] == [0.0, None]
    assert metrics.value(None) is None


def test_counters_become_rates() -> None:
    """Bytes per second from cumulative bytes; the first row has none yet."""
    rows = HostRows()
    metrics = live(rows, seconds=1)
    disk = metrics.catalogue.disks[0]
    assert metrics.rate(disk.first) is None
    rows.feed(metrics, seconds=2, start_ms=1_001_000)
    assert metrics.rate(disk.first) == pytest.approx(1_048_576.0)
    assert metrics.total_rate([disk.first, disk.second]) == pytest.approx(2_097_152.0)  # type: ignore[list-item]


def test_a_row_of_another_catalogue_is_refused() -> None:
    """A row that does not fit the catalogue changes nothing."""
    rows = HostRows()
    metrics = live(rows)
    assert not metrics.add_row("other", 2_000_000, rows.row())
    assert not metrics.add_row(rows.catalogue.id, 2_000_000, rows.row()[:-8])
    assert metrics.timestamp_ms == 1_002_000


def test_a_new_device_keeps_the_old_histories() -> None:
    """When the catalogue changes, series that stay keep their past and counters start anew without a false rate."""
    metrics = live(HostRows(disks=("vda",)), seconds=50)
    more = HostRows(disks=("vda", "vdb"))
    more.feed(metrics, seconds=1, start_ms=1_050_000)
    assert [pair.name for pair in metrics.catalogue.disks] == ["vda", "vdb"]
    track = metrics.track(metrics.catalogue.cpu)
    assert track is not None
    assert len(track) == 51
    assert metrics.rate(metrics.catalogue.disks[0].first) is None


def test_the_split_is_a_share_of_all_time() -> None:
    """user, system and iowait are shares of the time between two rows, idle is what is left."""
    rows = HostRows()
    metrics = live(rows, seconds=1)
    for state, growth in (("user", 0.5), ("system", 0.25), ("idle", 0.25), ("iowait", 0.0)):
        key = f'system.cpu.time{{state="{state}"}}'
        rows.set(key, rows.values[key] - 0.25 + growth)
    rows.set('system.cpu.time{state="steal"}', rows.values['system.cpu.time{state="steal"}'] - 0.25)
    metrics.add_row(rows.catalogue.id, 1_001_000, rows.row())
    split = metrics.cpu_split()
    assert split["user"] == pytest.approx(0.5)
    assert split["system"] == pytest.approx(0.25)
    assert "idle" not in split


def test_device_names_from_the_host_are_safe() -> None:
    """An interface that calls itself an escape sequence is spelled out."""
    rows = HostRows(disks=("\x1b[31mvda", "a\u202eb"))
    metrics = live(rows)
    assert all(pair.name.isprintable() for pair in metrics.catalogue.disks)


def test_history_comes_before_the_live_rows() -> None:
    """A range query fills the charts, also those of rates, up to the first live row."""
    metrics = live(HostRows())
    disk = metrics.catalogue.disks[0]
    answer = QueryAnswer(
        start_ms=990_000,
        step_ms=1000,
        points=12,
        aggregation="rate",
        series=[
            SeriesPoints(
                host="h",
                host_id="1",
                name="system.disk.io",
                attributes={"device": "vda", "direction": "read"},
                unit="By/s",
                kind=MetricKind.COUNTER,
                values=[7.0] * 12,
            )
        ],
    )
    metrics.fill(answer)
    spark = metrics.spark([disk.first], 12, window_ms=12_000)
    assert spark[0] == 7.0
    assert spark[-1] == pytest.approx(1_048_576.0)


def test_a_past_instant_has_values_and_rates() -> None:
    """Latest values of the store and a range query give the same picture as live rows."""
    rows = HostRows()
    catalogue = rows.catalogue
    latest = HostLatest(
        host="h",
        host_id="1",
        timestamp_ms=500_000,
        values=[
            LatestValue(
                name=one.name,
                attributes=one.attributes,
                unit=one.unit,
                kind=one.kind,
                value=None if one.name == "system.memory.limit" else rows.values[one.key],
                timestamp_ms=500_000,
            )
            for one in catalogue.series
        ],
    )
    points = SeriesPoints(
        host="h",
        host_id="1",
        name="system.disk.io",
        attributes={"device": "vda", "direction": "write"},
        unit="By/s",
        kind=MetricKind.COUNTER,
        values=[1.0, 2.0, 3.0, 4.0],
    )
    metrics = HostMetrics()
    metrics.fill(QueryAnswer(start_ms=498_000, step_ms=1000, points=4, aggregation="rate", series=[points]))
    metrics.set_latest(latest, 500_500)
    assert metrics.value(metrics.catalogue.cpu) == 0.42
    assert metrics.value(metrics.catalogue.memory_limit) is None
    assert metrics.rate(metrics.catalogue.disks[0].second) == 3.0
    assert metrics.rate(metrics.catalogue.disks[0].first) is None
    assert metrics.timestamp_ms == 500_000


def test_the_interval_is_learned() -> None:
    """A host that samples every five seconds has charts without holes."""
    rows = HostRows()
    metrics = HostMetrics()
    catalogue = rows.catalogue
    metrics.set_catalogue(catalogue.id, catalogue.series)
    for step in range(60):
        metrics.add_row(catalogue.id, 1_000_000 + step * 5000, rows.row())
    columns = metrics.columns(metrics.catalogue.cpu, 100)
    assert sum(one is None for one in columns) <= 2
