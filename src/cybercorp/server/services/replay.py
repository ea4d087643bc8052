"""The fleet at a past instant, from what is stored."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from cybercorp.protocol.hosts import HostSort, HostState, HostSummary, HostsWindow
from cybercorp.protocol.metrics import Aggregation, parse_metric_selector
from cybercorp.server.services.fleet import HISTORY_STEP_MS, HISTORY_STEPS, UNKNOWN_STEP, Fleet, LiveHost, busiest
from cybercorp.server.services.metrics import MetricService
from cybercorp.server.services.summaries import SUMMARY_SERIES, SummarySlots, SummaryValues
from cybercorp.server.services.views import View
from cybercorp.server.services.windows import Snapshot, check_window
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.reading.past_rows import PastRow
from cybercorp.store.timeseries.rows import Selection

ONLINE_WITHIN_MS = 5_000
KNOWN_WITHIN_MS = 60_000
_CPU = parse_metric_selector("cpu")


class ReplayService:
    def __init__(self, store: TimeSeries, metrics: MetricService, fleet: Fleet) -> None:
        self._store = store
        self._metrics = metrics
        self._fleet = fleet

    async def window(
        self,
        at_ms: int,
        selector: str,
        sort: HostSort,
        descending: bool,
        *,
        offset: int,
        limit: int,
        pinned: str | None,
        view: View,
    ) -> HostsWindow:
        """A window of the fleet as it was, of the hosts that somebody may see today.

        Only the rows that are shown get their history and top process, this one where it may be seen.
        """
        check_window(offset, limit)
        hosts = [host for host in view.choose(self._fleet.hosts) if host.row.joined_at_ms <= at_ms]
        busy = {host.key for host in hosts if view.sees_processes(host)}
        return await self._metrics.read(
            lambda: self._window(
                hosts, busy, at_ms, selector, sort, descending, offset=offset, limit=limit, pinned=pinned
            )
        )

    def _window(
        self,
        hosts: Sequence[LiveHost],
        busy: Collection[int],
        at_ms: int,
        selector: str,
        sort: HostSort,
        descending: bool,
        *,
        offset: int,
        limit: int,
        pinned: str | None,
    ) -> HostsWindow:
        by_id = {host.id: host for host in hosts}
        slots: dict[str, SummarySlots] = {}
        past = self._store.rows_at([host.key for host in hosts], at_ms, KNOWN_WITHIN_MS, SUMMARY_SERIES)
        snapshot = Snapshot(at_ms, [self._summary(host, at_ms, past.get(host.key), slots) for host in hosts])
        window = snapshot.window(selector, sort, descending, offset=offset, limit=limit, pinned=pinned)
        shown = [by_id[row.id] for row in window.rows]
        histories = self._histories(shown, at_ms)
        rows = [
            self._detailed(host, row, histories.get(host.key, b""), at_ms, busy)
            for host, row in zip(shown, window.rows, strict=True)
        ]
        return msgspec.structs.replace(window, rows=rows)

    def _summary(self, host: LiveHost, at_ms: int, past: PastRow | None, known: dict[str, SummarySlots]) -> HostSummary:
        row, before = past or (None, None)
        values, state = SummaryValues(), HostState.OFFLINE
        if row is not None:
            age = at_ms - row.timestamp_ms
            online = age <= max(ONLINE_WITHIN_MS, 3 * host.row.interval_ms)
            state = HostState.ONLINE if online else HostState.STALE
            same = before is not None and before.catalogue == row.catalogue
            elapsed_s = (row.timestamp_ms - before.timestamp_ms) / 1000 if before else 0.0
            body = before.body if before is not None and same else None
            slots = known.get(row.catalogue)
            if slots is None:
                catalogue = self._store.catalogue_at(host.key, row.timestamp_ms)
                series = catalogue.series if catalogue is not None and catalogue.id == row.catalogue else ()
                slots = known[row.catalogue] = SummarySlots(series)
            values = slots.values(row.body, body, elapsed_s)
        return HostSummary(
            id=host.id,
            name=host.name,
            state=state,
            seen_at_ms=row.timestamp_ms if row else None,
            labels=host.row.labels,
            cpu=values.cpu,
            memory=values.memory,
            disk=values.disk,
            load=values.load,
            network_receive=values.network_receive,
            network_transmit=values.network_transmit,
        )

    def _histories(self, hosts: Sequence[LiveHost], at_ms: int) -> dict[int, bytes]:
        if not hosts:
            return {}
        end_ms = at_ms - at_ms % HISTORY_STEP_MS + HISTORY_STEP_MS
        start_ms = end_ms - HISTORY_STEPS * HISTORY_STEP_MS
        selections = [Selection(host.key, _CPU) for host in hosts]
        results = self._store.query(selections, start_ms, end_ms, HISTORY_STEP_MS, Aggregation.AVG, None)
        return {
            one.host: bytes(UNKNOWN_STEP if v != v else max(0, min(200, round(v * 200))) for v in one.values.tolist())
            for one in results
        }

    def _detailed(
        self, host: LiveHost, row: HostSummary, history: bytes, at_ms: int, busy: Collection[int]
    ) -> HostSummary:
        if host.key not in busy:
            return msgspec.structs.replace(row, cpu_history=history)
        name, cpu = busiest(self._store.processes_at(host.key, at_ms, KNOWN_WITHIN_MS))
        return msgspec.structs.replace(row, cpu_history=history, top_process=name, top_process_cpu=cpu)
