"""The fleet as it is now: every host with its newest row, and sorted, filtered windows of summaries for whoever looks.

Nothing is computed when a row arrives; summaries are made at most once a row and only when somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.protocol.hosts import FleetCounts, Host, HostSort, HostState, HostSummary
from cybercorp.protocol.metrics import Catalogue
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.selectors import HostSelector
from cybercorp.server.services.allowance import Allowance
from cybercorp.server.services.summaries import SummarySlots, SummaryValues
from cybercorp.store.records.hosts import HostRow

HISTORY_STEP_MS = 10_000
HISTORY_STEPS = 30
UNKNOWN_STEP = 255
STALE_AFTER_MS = 5_000
OFFLINE_AFTER_MS = 60_000
EVENTS_AT_ONCE, EVENTS_PER_S = 1_000, 0.1
# Names of series that no host had before: a device that comes and goes brings the whole catalogue anew each time.
SERIES_AT_ONCE, SERIES_PER_S = 500_000, 50
# Each connection may bring a stream and two events that are kept: a host that comes and goes fills no disk with them.
CONNECTIONS_AT_ONCE = 60
CONNECTIONS_PER_S = 0.1


def busiest(table: ProcessTable | None) -> tuple[str | None, float | None]:
    """The name and share of a core of the process with most CPU; unknown without a table."""
    if table is None or not table.pid:
        return None, None
    shares = [share or 0.0 for share in table.cpu]
    best = shares.index(max(shares))
    return table.name[best][:64], table.cpu[best]


class LiveHost:
    """One host in memory: its row in the records, its newest samples, its recent CPU, its newest process table."""

    def __init__(self, row: HostRow) -> None:
        self.row = row
        self.connected = False
        self.agent_state = ""
        self.seen_at_ms = row.seen_at_ms
        self.clock_offset_ms: int | None = None
        self.catalogue: Catalogue | None = None
        self.slots: SummarySlots | None = None
        self.timestamp_ms = 0
        self.body = b""
        self.table: ProcessTable | None = None
        self.table_at_ms = 0
        self._top: tuple[str | None, float | None] = (None, None)
        self.rows = 0
        self.complained: dict[str, float] = {}
        self.events = Allowance(EVENTS_AT_ONCE, EVENTS_PER_S)
        self.series = Allowance(SERIES_AT_ONCE, SERIES_PER_S)
        self.connections = Allowance(CONNECTIONS_AT_ONCE, CONNECTIONS_PER_S)
        self._before: tuple[int, bytes] | None = None
        self._history = bytearray([UNKNOWN_STEP]) * HISTORY_STEPS
        self._history_step = 0
        self._values: SummaryValues | None = None

    @property
    def key(self) -> int:
        return self.row.key

    @property
    def id(self) -> str:
        return self.row.id

    @property
    def name(self) -> str:
        return self.row.name

    def take_row(self, catalogue: Catalogue, timestamp_ms: int, body: bytes, now_ms: int) -> bool:
        """A row of samples; False for one that is older than what is known (a clock that was set back)."""
        self.rows += 1
        self.seen_at_ms = now_ms
        if timestamp_ms < self.timestamp_ms <= now_ms + STALE_AFTER_MS:
            return False
        if self.catalogue is None or self.catalogue.id != catalogue.id:
            self.catalogue = catalogue
            self.slots = SummarySlots(catalogue.series)
            self._before = None
        elif self.body and timestamp_ms > self.timestamp_ms:
            self._before = (self.timestamp_ms, self.body)
        self.timestamp_ms, self.body, self._values = timestamp_ms, body, None
        step = timestamp_ms // HISTORY_STEP_MS
        if step != self._history_step and self.slots is not None:
            self._remember_cpu(step, self.slots.cpu(body))
        return True

    def take_table(self, table: ProcessTable, now_ms: int) -> None:
        """A process table: the newest is kept for the top process and for who asks next."""
        if self.table is None or table.timestamp_ms >= self.table.timestamp_ms:
            self.table, self.table_at_ms, self._top = table, now_ms, busiest(table)

    def _remember_cpu(self, step: int, cpu: float | None) -> None:
        gap = min(max(step - self._history_step, 1), HISTORY_STEPS)
        value = UNKNOWN_STEP if cpu is None else max(0, min(200, round(cpu * 200)))
        self._history = self._history[gap:] + bytearray([UNKNOWN_STEP]) * (gap - 1) + bytearray([value])
        self._history_step = step

    def saved_seen(self) -> None:
        """The records know when this host was last heard of."""
        self.row = msgspec.structs.replace(self.row, seen_at_ms=self.seen_at_ms)

    def fill_history(self, last_step: int, values: Iterable[float | None]) -> None:
        """What the store knows of the last five minutes, after a restart; what was heard since then stays."""
        found = [UNKNOWN_STEP if v is None else max(0, min(200, round(v * 200))) for v in values][-HISTORY_STEPS:]
        stored = bytearray([UNKNOWN_STEP]) * (HISTORY_STEPS - len(found)) + bytearray(found)
        if self._history_step:
            last = max(last_step, self._history_step)
            heard, stored = _until(last, self._history, self._history_step), _until(last, stored, last_step)
            stored = bytearray(b if a == UNKNOWN_STEP else a for a, b in zip(heard, stored, strict=True))
            last_step = last
        self._history, self._history_step = stored, last_step

    def history(self, now_ms: int) -> bytes:
        """Five minutes of CPU up to now, in steps of ten seconds; see HostSummary."""
        if not self._history_step:
            return b""
        gap = min(max(now_ms // HISTORY_STEP_MS - self._history_step, 0), HISTORY_STEPS)
        return bytes(self._history[gap:] + bytearray([UNKNOWN_STEP]) * gap)

    def state(self, now_ms: int) -> HostState:
        """By the age of what was last heard."""
        if self.seen_at_ms is None:
            return HostState.OFFLINE
        age = abs(now_ms - self.seen_at_ms)  # a clock that was set back makes nobody fresh
        if age < max(STALE_AFTER_MS, 3 * self.row.interval_ms):
            return HostState.ONLINE
        return HostState.STALE if age < max(OFFLINE_AFTER_MS, 6 * self.row.interval_ms) else HostState.OFFLINE

    def values(self) -> SummaryValues:
        """The summary's numbers, made once a row."""
        if self._values is None:
            if self.slots is None or not self.body:
                return SummaryValues()
            before_ms, before = self._before or (0, None)
            self._values = self.slots.values(self.body, before, (self.timestamp_ms - before_ms) / 1000)
        return self._values

    def version(self, now_ms: int) -> tuple[object, ...]:
        """Changes whenever the summary does."""
        return (self.rows, self.state(now_ms), self.table_at_ms, now_ms // HISTORY_STEP_MS)

    def summary(self, now_ms: int, *, processes: bool = True) -> HostSummary:
        """The row of the fleet view. What an offline host said last is no longer true of it: unknown.

        Without `processes` the busiest one is not named.
        """
        state = self.state(now_ms)
        values = self.values() if state is not HostState.OFFLINE else SummaryValues()
        name, cpu = self._top if processes else (None, None)
        return HostSummary(
            id=self.id,
            name=self.name,
            state=state,
            seen_at_ms=self.seen_at_ms,
            labels=self.row.labels,
            cpu=values.cpu,
            memory=values.memory,
            disk=values.disk,
            network_receive=values.network_receive,
            network_transmit=values.network_transmit,
            load=values.load,
            top_process=name,
            top_process_cpu=cpu if state is not HostState.OFFLINE else None,
            cpu_history=self.history(now_ms),
        )

    def host(self, now_ms: int, *, processes: bool = True) -> Host:
        """Everything that is known of the host now; see `summary`."""
        return Host(
            id=self.id,
            name=self.name,
            state=self.state(now_ms),
            joined_at_ms=self.row.joined_at_ms,
            seen_at_ms=self.seen_at_ms,
            labels=self.row.labels,
            facts=self.row.facts,
            interval_ms=self.row.interval_ms,
            clock_offset_ms=self.clock_offset_ms,
            agent_state=self.agent_state,
            summary=self.summary(now_ms, processes=processes),
        )


class Fleet:
    """All hosts that were not removed, by key, id and name."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_key: dict[int, LiveHost] = {}
        self._by_id: dict[str, LiveHost] = {}
        self._by_name: dict[str, LiveHost] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    @property
    def hosts(self) -> list[LiveHost]:
        return list(self._by_key.values())

    def add(self, row: HostRow) -> LiveHost:
        """A host, new or read from the records; a known one takes over its changed row."""
        known = self._by_key.get(row.key)
        if known is None:
            known = LiveHost(row)
        else:
            self._forget_name(known)
            known.row = row
        self._by_key[row.key] = self._by_id[row.id] = self._by_name[row.name] = known
        return known

    def remove(self, host: LiveHost) -> None:
        self._by_key.pop(host.key, None)
        self._by_id.pop(host.id, None)
        self._forget_name(host)

    def _forget_name(self, host: LiveHost) -> None:
        if self._by_name.get(host.name) is host:  # else another host has taken the name over
            del self._by_name[host.name]

    def find(self, id_or_name: str) -> LiveHost | None:
        return self._by_id.get(id_or_name) or self._by_name.get(id_or_name)

    def by_key(self, key: int) -> LiveHost | None:
        return self._by_key.get(key)

    def names(self) -> list[str]:
        return list(self._by_name)

    def select(self, selectors: Iterable[HostSelector], now_ms: int | None = None) -> list[LiveHost]:
        """The hosts that match any of the selectors (none given: all), by name."""
        wanted = list(selectors)
        now = self._clock.now_ms() if now_ms is None else now_ms
        names = [one.plain_name for one in wanted]
        if names and None not in names:
            found = {host.key: host for name in names if (host := self._by_name.get(name or "")) is not None}
            return sorted(found.values(), key=lambda host: host.name)
        simple = not any(one.needs_state for one in wanted)
        chosen = [host for host in self._by_key.values() if not wanted or self._matches(host, wanted, now, simple)]
        return sorted(chosen, key=lambda host: host.name)

    @staticmethod
    def _matches(host: LiveHost, selectors: list[HostSelector], now_ms: int, simple: bool) -> bool:
        if simple:  # names and labels only
            return any(one.matches(host.name, host.row.labels) for one in selectors)
        state = host.state(now_ms)
        values: Mapping[str, float | None] = {}
        if any(one.needs_values for one in selectors):
            values = summary_values(host.summary(now_ms))
        return any(one.matches(host.name, host.row.labels, state=state, values=values) for one in selectors)


def summary_values(row: HostSummary) -> dict[str, float | None]:
    """A summary's numbers by the names that selectors compare."""
    return {
        "cpu": row.cpu,
        "mem": row.memory,
        "disk": row.disk,
        "net_rx": row.network_receive,
        "net_tx": row.network_transmit,
        "load": row.load,
    }


_STATE_RANK = {HostState.OFFLINE: 2, HostState.STALE: 1, HostState.ONLINE: 0}


def sort_summaries(rows: list[HostSummary], sort: HostSort, descending: bool) -> list[HostSummary]:
    """Ordered by a column, then by name; hosts of which the column is unknown come last, whatever the direction."""
    by_name = sorted(rows, key=lambda row: row.name)
    match sort:
        case HostSort.NAME:
            return by_name[::-1] if descending else by_name
        case HostSort.STATE:
            return sorted(by_name, key=lambda row: _STATE_RANK[row.state], reverse=descending)
        case HostSort.SEEN:
            known = {row.id: row.seen_at_ms for row in rows}
        case _:
            known = {row.id: getattr(row, sort.value) for row in rows}
    sign = -1 if descending else 1
    absent = [row for row in by_name if known[row.id] is None]
    present = [row for row in by_name if known[row.id] is not None]
    return sorted(present, key=lambda row: sign * (known[row.id] or 0)) + absent


def count_states(rows: Iterable[HostSummary]) -> FleetCounts:
    """How many hosts are in which state."""
    counts = dict.fromkeys(HostState, 0)
    for row in rows:
        counts[row.state] += 1
    return FleetCounts(
        total=sum(counts.values()),
        online=counts[HostState.ONLINE],
        stale=counts[HostState.STALE],
        offline=counts[HostState.OFFLINE],
    )


def _until(last: int, steps: bytearray, own_last: int) -> bytearray:
    """A history that ends with step `own_last`, so that it ends with `last`."""
    gap = min(last - own_last, HISTORY_STEPS)
    return steps[gap:] + bytearray([UNKNOWN_STEP]) * gap
