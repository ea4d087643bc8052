"""Windows of the fleet for viewers: sorted and filtered at most once a tick for all who ask for the same."""

from __future__ import annotations

from collections.abc import Iterable

from cybercorp.core.clock import Clock
from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.hosts import FleetCounts, HostSort, HostSummary, HostsWindow
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.selectors import HostSelector, parse_host_selector
from cybercorp.server.services.fleet import Fleet, LiveHost, count_states, sort_summaries, summary_values
from cybercorp.server.services.policy import Rights
from cybercorp.server.services.views import View

MAX_LIMIT = 1_000
SNAPSHOT_S = 0.4

Order = tuple[str, HostSort, bool]


class Snapshot:
    """The summaries of one instant, and the orders that were asked of it."""

    def __init__(self, timestamp_ms: int, rows: list[HostSummary]) -> None:
        self.timestamp_ms = timestamp_ms
        self._rows = rows
        self._chosen: dict[str, tuple[list[HostSummary], FleetCounts]] = {}
        self._ordered: dict[Order, list[HostSummary]] = {}
        self._ranks: dict[Order, dict[str, int]] = {}

    def window(
        self, selector: str, sort: HostSort, descending: bool, *, offset: int, limit: int, pinned: str | None
    ) -> HostsWindow:
        """Rows `offset … offset+limit` of this order. Raises InvalidInputError."""
        check_window(offset, limit)
        chosen, counts = self._choose(selector)
        order = (selector, sort, descending)
        rows = self._ordered.get(order)
        if rows is None:
            rows = self._ordered[order] = sort_summaries(chosen, sort, descending)
        rank = self._rank(order, rows, pinned) if pinned else None
        return HostsWindow(
            timestamp_ms=self.timestamp_ms,
            offset=offset,
            counts=counts,
            rows=rows[offset : offset + limit],
            pinned=rows[rank] if rank is not None else None,
            pinned_rank=rank,
        )

    def _choose(self, selector: str) -> tuple[list[HostSummary], FleetCounts]:
        known = self._chosen.get(selector)
        if known is None:
            rows = list(filter_summaries(self._rows, parse_host_selector(selector)))
            known = self._chosen[selector] = (rows, count_states(rows))
        return known

    def _rank(self, order: Order, rows: list[HostSummary], pinned: str) -> int | None:
        ranks = self._ranks.get(order)
        if ranks is None:
            ranks = self._ranks[order] = {row.id: index for index, row in enumerate(rows)}
        return ranks.get(pinned)


class WindowService:
    """The snapshot of now, made anew when somebody asks and it is older than 0.4 s."""

    def __init__(self, fleet: Fleet, clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._made_at = 0.0
        self._scoped: dict[tuple[Rights, Permission], Snapshot] = {}
        self._summaries: dict[int, tuple[tuple[object, ...], HostSummary]] = {}

    def now(self, view: View) -> Snapshot:
        """The fleet as somebody sees it, at most 0.4 s old."""
        whole = self._now()
        if view.everything and view.every_process:
            return whole
        known = self._scoped.get((view.rights, view.permission))
        if known is None:
            seen = [self._seen(host, whole.timestamp_ms, view) for host in view.choose(self._fleet.hosts)]
            known = self._scoped[view.rights, view.permission] = Snapshot(whole.timestamp_ms, seen)
        return known

    def _now(self) -> Snapshot:
        monotonic = self._clock.monotonic()
        if self._snapshot is None or monotonic - self._made_at >= SNAPSHOT_S:
            now_ms = self._clock.now_ms()
            self._snapshot = Snapshot(now_ms, [self._summary(host, now_ms) for host in self._fleet.hosts])
            self._made_at = monotonic
            self._scoped.clear()
        return self._snapshot

    def forget(self) -> None:
        """Hosts came, went or changed their names: the next look makes a new snapshot."""
        self._snapshot = None
        self._scoped.clear()
        self._summaries.clear()

    def _seen(self, host: LiveHost, now_ms: int, view: View) -> HostSummary:
        if view.sees_processes(host):
            return self._summary(host, now_ms)
        return host.summary(now_ms, processes=False)

    def _summary(self, host: LiveHost, now_ms: int) -> HostSummary:
        version = host.version(now_ms)
        known = self._summaries.get(host.key)
        if known is None or known[0] != version:
            known = self._summaries[host.key] = (version, host.summary(now_ms))
        return known[1]


def filter_summaries(rows: Iterable[HostSummary], selector: HostSelector) -> Iterable[HostSummary]:
    """The summaries that the selector means."""
    if not selector.words:
        return rows
    return (row for row in rows if selector.matches(row.name, row.labels, state=row.state, values=summary_values(row)))


def check_window(offset: int, limit: int) -> None:
    """Raises InvalidInputError for a window that nobody can mean."""
    if offset < 0 or not 0 <= limit <= MAX_LIMIT:
        raise InvalidInputError(
            f"The window of {limit} rows from {offset} cannot be shown.", hint=f"Ask for 0 to {MAX_LIMIT} rows."
        )
