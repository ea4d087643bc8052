"""Stores and rows for tests, and a naive reference of every aggregation to compare the engine with."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from cybercorp.core.clock import Clock, ManualClock
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.metrics import Aggregation, Catalogue, MetricKind, MetricSelector, Series, make_catalogue
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.reading.rollups import Tier
from cybercorp.store.timeseries.rows import Selection, StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings

START_MS = 1_800_000_000_000
LOOKBACK_MS = 300_000
CPU = Series(name="cpu")
DISK = Series(name="disk", unit="By", kind=MetricKind.COUNTER, attributes={"device": "sda"})
LOAD = Series(name="load")
FIRST = make_catalogue([CPU, DISK])
SECOND = make_catalogue([DISK, LOAD, CPU])
EVERYTHING = MetricSelector(name="*")

Row = tuple[int, Mapping[str, float]]  # timestamp and values by series key, in order of arrival


def open_store(folder: Path, clock: Clock | None = None, settings: TimeSeriesSettings | None = None) -> TimeSeries:
    return TimeSeries.open(folder / "samples.db", settings or TimeSeriesSettings(), clock or ManualClock(START_MS))


def body_of(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def sample(
    seq: int, timestamp_ms: int, *values: float, catalogue: Catalogue = FIRST, host: int = 1, stream: str = "s"
) -> StoredRow:
    """One row of samples."""
    return StoredRow(host, stream, seq, timestamp_ms, timestamp_ms, RecordType.SAMPLES, catalogue.id, body_of(*values))


def fill(store: TimeSeries, count: int, *, host: int = 1, start_ms: int = START_MS, first_seq: int = 1) -> list[Row]:
    """`count` rows a second apart, as one commit; returns them for the reference."""
    store.register_catalogue(host, FIRST)
    rows = [
        sample(first_seq + i, start_ms + i * 1000, (first_seq + i) % 17 / 16, float(1000 * (first_seq + i)), host=host)
        for i in range(count)
    ]
    store.write(rows)
    return [
        (row.timestamp_ms, dict(zip((CPU.key, DISK.key), struct.unpack("<2d", row.body), strict=True))) for row in rows
    ]


def ask(
    store: TimeSeries,
    start_ms: int,
    end_ms: int,
    step_ms: int,
    aggregation: Aggregation,
    *,
    host: int = 1,
    quantile: float | None = None,
    selector: MetricSelector = EVERYTHING,
    tier: Tier = Tier.RAW,
) -> dict[str, list[float]]:
    """The answer for one host by series key."""
    found = store.query([Selection(host, selector)], start_ms, end_ms, step_ms, aggregation, quantile, tier=tier)
    assert len({one.series.key for one in found}) == len(found)
    return {one.series.key: one.values.tolist() for one in found}


def reference(
    rows: Sequence[Row],
    key: str,
    start_ms: int,
    end_ms: int,
    step_ms: int,
    aggregation: Aggregation,
    quantile: float | None,
) -> list[float]:
    """What the engine should answer for one series, in the plainest Python."""
    points = math.ceil((end_ms - start_ms) / step_ms)
    lasting = {timestamp: place for place, (timestamp, _) in enumerate(rows)}
    visible = [
        (timestamp, values[key])
        for place, (timestamp, values) in enumerate(rows)
        if lasting[timestamp] == place and key in values and math.isfinite(values[key])
    ]
    if aggregation in (Aggregation.RATE, Aggregation.INCREASE):
        low, high = start_ms - LOOKBACK_MS, start_ms + points * step_ms
        counted = [one for one in visible if one[1] >= 0 and low <= one[0] < high]
        return _growth(counted, start_ms, step_ms, points, aggregation)
    answer = []
    for point in range(points):
        low = start_ms + point * step_ms
        inside = sorted(one for one in visible if low <= one[0] < low + step_ms)
        answer.append(_reduce([value for _, value in inside], aggregation, quantile))
    return answer


def _reduce(values: list[float], aggregation: Aggregation, quantile: float | None) -> float:
    if not values:
        return math.nan
    if aggregation is Aggregation.QUANTILE:
        ordered = sorted(values)
        rank = (0.5 if quantile is None else quantile) * (len(ordered) - 1)
        low, high = ordered[math.floor(rank)], ordered[min(math.floor(rank) + 1, len(ordered) - 1)]
        return low + (high - low) * (rank - math.floor(rank))
    functions: dict[Aggregation, Callable[[list[float]], float]] = {
        Aggregation.AVG: lambda given: math.fsum(given) / len(given),
        Aggregation.MIN: min,
        Aggregation.MAX: max,
        Aggregation.SUM: math.fsum,
        Aggregation.LAST: lambda given: given[-1],
        Aggregation.COUNT: lambda given: float(len(given)),
    }
    return functions[aggregation](values)


def _growth(
    visible: list[tuple[int, float]], start_ms: int, step_ms: int, points: int, aggregation: Aggregation
) -> list[float]:
    grown, covered = [0.0] * points, [0] * points
    for (before_ms, before), (now_ms, now) in itertools.pairwise(visible):
        point = (now_ms - start_ms) // step_ms
        if 0 < now_ms - before_ms <= LOOKBACK_MS and 0 <= point < points:
            grown[point] += now - before if now >= before else now
            covered[point] += now_ms - before_ms
    per_second = aggregation is Aggregation.RATE
    return [
        (up * 1000 / time if per_second else up) if time else math.nan for up, time in zip(grown, covered, strict=True)
    ]


def assert_same(found: Iterable[float], expected: Iterable[float]) -> None:
    """Equal but for rounding; NaN only where NaN is expected."""
    pairs = list(zip(found, expected, strict=True))
    for place, (one, other) in enumerate(pairs):
        same = math.isnan(one) if math.isnan(other) else math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-6)
        assert same, f"point {place}: {one} instead of {other}"
