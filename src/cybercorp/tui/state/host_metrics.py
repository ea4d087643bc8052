"""What is known about one host at one instant: the newest values, rates of its counters, the last five minutes.

Live rows, range queries and the store's latest values at a past instant all end here, so panels are drawn by the same
code whether the dashboard is live or replays.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable, Sequence

from cybercorp.protocol.metrics import HostLatest, QueryAnswer, Series, series_key
from cybercorp.tui.state.charts import Column
from cybercorp.tui.state.host_catalogue import HostCatalogue, Pair, read_catalogue
from cybercorp.tui.state.host_panels import ChartArea
from cybercorp.tui.state.host_tracks import WINDOW_MS, CounterRates, Track

GAUGE_HISTORY = (
    'system.cpu.utilization{cpu=""}',
    'system.memory.utilization{state="used"}',
    "system.cpu.load_average.1m",
    'system.pressure.utilization{scope="some"}',
)
RATE_HISTORY = (
    'system.cpu.time{cpu=""}',
    "system.disk.io",
    "system.disk.io_time",
    "system.network.io",
    'system.paging.operations{type="major"}',
    "system.cpu.context_switches",
    "system.cpu.interrupts",
)


class HostMetrics:
    """The metrics of the host that a screen shows, at the instant that it shows."""

    def __init__(self) -> None:
        self.catalogue = HostCatalogue()
        self.timestamp_ms: int | None = None
        self.interval_ms = 1000
        self.rows = 0
        self._values: Sequence[float] = ()
        self._rates: dict[int, float | None] = {}
        self._counters = CounterRates()
        self._tracks: dict[str, Track] = {}
        self._tracked: list[tuple[int, Track]] = []
        self._rated: list[int] = []

    @property
    def known(self) -> bool:
        """True when there is something to show."""
        return self.timestamp_ms is not None

    def set_catalogue(self, catalogue_id: str, series: Sequence[Series]) -> None:
        """Take over a catalogue; histories of series that stay are kept."""
        if catalogue_id == self.catalogue.id and self.catalogue.keys:
            return
        self.catalogue = read_catalogue(catalogue_id, series)
        self._values = ()
        self._rates = {}
        self._counters.clear()
        rated, gauges = _watched(self.catalogue)
        self._rated = [slot for slot in rated if slot in self.catalogue.counters]
        present = [*gauges, *rated]
        self._tracked = [(slot, self._track(self.catalogue.keys[slot])) for slot in present]
        kept = {self.catalogue.keys[slot] for slot in present}
        self._tracks = {key: track for key, track in self._tracks.items() if key in kept}

    def add_row(self, catalogue_id: str, timestamp_ms: int, values: bytes) -> bool:
        """Take in a live row: little-endian float64, one per series. False when it fits no known catalogue."""
        if catalogue_id != self.catalogue.id or len(values) != 8 * len(self.catalogue.keys):
            return False
        row = array("d")
        row.frombytes(values)
        if sys.byteorder == "big":
            row.byteswap()
        if self.timestamp_ms is not None and 0 < timestamp_ms - self.timestamp_ms < 120_000 and self.rows:
            self.interval_ms = max(200, round(0.7 * self.interval_ms + 0.3 * (timestamp_ms - self.timestamp_ms)))
        self.timestamp_ms = timestamp_ms
        self.rows += 1
        self._values = row
        self._rates = {slot: self._counters.read(slot, timestamp_ms, row[slot]) for slot in self._rated}
        counters = self.catalogue.counters
        for slot, track in self._tracked:
            track.append(timestamp_ms, self._rates.get(slot) if slot in counters else row[slot])
        return True

    def fill(self, answer: QueryAnswer) -> None:
        """Put the answer of a range query where live rows are missing."""
        for one in answer.series:
            start, step = answer.start_ms, answer.step_ms
            points = ((start + index * step, value) for index, value in enumerate(one.values))
            self._track(series_key(one.name, one.attributes)).fill(points, step_ms=step)

    def take_tracks(self, tracks: dict[str, Track]) -> None:
        """Use these histories, by series."""
        self._tracks = dict(tracks)

    def set_latest(self, latest: HostLatest, at_ms: int) -> None:
        """Show the values of a past instant; rates are those of the histories."""
        series = [
            Series(name=one.name, unit=one.unit, kind=one.kind, attributes=one.attributes) for one in latest.values
        ]
        self.catalogue = HostCatalogue()
        self.set_catalogue(f"at {at_ms}", series)
        self._values = [math.nan if one.value is None else one.value for one in latest.values]
        self.timestamp_ms = latest.timestamp_ms
        for slot in self._rated:
            self._rates[slot] = self._track(self.catalogue.keys[slot]).at(at_ms)
        for slot, track in self._tracked:
            if slot not in self.catalogue.counters and not len(track):
                track.append(latest.timestamp_ms, self.value(slot))

    def value(self, slot: int | None) -> float | None:
        """The newest value of a slot, None when unknown."""
        if slot is None or slot >= len(self._values):
            return None
        value = self._values[slot]
        return value if math.isfinite(value) else None

    def rate(self, slot: int | None) -> float | None:
        """The growth per second of a counter's slot, None when unknown."""
        return None if slot is None else self._rates.get(slot)

    def total_rate(self, slots: Iterable[int]) -> float | None:
        """The sum of the known rates; None when none is known."""
        known = [rate for rate in map(self.rate, slots) if rate is not None]
        return sum(known) if known else None

    def track(self, slot: int | None) -> Track | None:
        """The history of a slot that is kept for charts."""
        return None if slot is None else self._tracks.get(self.catalogue.keys[slot])

    def columns(self, slot: int | None, count: int, *, window_ms: int = WINDOW_MS) -> list[Column | None]:
        """The window up to now as chart columns."""
        track = self.track(slot)
        if track is None or self.timestamp_ms is None:
            return [None] * count
        return track.columns(self.timestamp_ms, count, window_ms=window_ms, interval_ms=self.interval_ms)

    def highest_at(self, slot: int | None, at_ms: int, chart: ChartArea) -> float | None:
        """The largest value in the cell of a chart that holds an instant."""
        if self.timestamp_ms is None:
            return None
        count = chart.width * chart.per_cell
        step = WINDOW_MS / count
        place = math.floor(at_ms / step) - math.floor(self.timestamp_ms / step) + count - 1
        place -= place % chart.per_cell
        columns = self.columns(slot, count)[max(place, 0) : max(place + chart.per_cell, 0)]
        return max((one.high for one in columns if one is not None), default=None)

    def spark(self, slots: Sequence[int | None], count: int, *, window_ms: int = WINDOW_MS) -> list[float | None]:
        """The summed history of some slots as sparkline values."""
        if self.timestamp_ms is None:
            return [None] * count
        total: list[float | None] = [None] * count
        for slot in slots:
            track = self.track(slot)
            if track is None:
                continue
            values = track.values(self.timestamp_ms, count, window_ms=window_ms, interval_ms=self.interval_ms)
            total = [
                old if new is None else (new if old is None else old + new)
                for old, new in zip(total, values, strict=True)
            ]
        return total

    def scale_of(self, slots: Iterable[int | None]) -> float:
        """The largest value of these slots in the window: chooses a unit that does not flicker."""
        tops = [0.0]
        for slot in slots:
            track = self.track(slot)
            top = track.largest(self.timestamp_ms) if track is not None and self.timestamp_ms is not None else None
            tops.append(top or 0.0)
        return max(tops)

    def cpu_split(self) -> dict[str, float]:
        """Share of the CPU's time by state since the last row; empty when unknown. Idle time is left out."""
        rates = {state: self.rate(slot) for state, slot in self.catalogue.cpu_time.items()}
        known = {state: rate for state, rate in rates.items() if rate is not None}
        total = sum(known.values())
        if total <= 0:
            return {}
        return {state: rate / total for state, rate in known.items() if state != "idle"}

    def _track(self, key: str) -> Track:
        found = self._tracks.get(key)
        if found is None:
            found = self._tracks[key] = Track()
        return found


def _watched(catalogue: HostCatalogue) -> tuple[list[int], list[int]]:
    """The slots that panels need over time: counters whose rate is shown, and gauges that are charted."""
    pairs: list[Pair] = [*catalogue.disks, *catalogue.networks]
    rated = [slot for pair in pairs for slot in (pair.first, pair.second, pair.busy) if slot is not None]
    rated += catalogue.cpu_time.values()
    rated += [slot for slots in catalogue.paging.values() for slot in slots]
    rated += [slot for slot in (catalogue.context_switches, catalogue.interrupts) if slot is not None]
    gauges = [catalogue.cpu, catalogue.memory_ratio, catalogue.load.get("1m")]
    gauges += [slot for (_, scope), slot in catalogue.pressure.items() if scope == "some"]
    return rated, [slot for slot in gauges if slot is not None]
