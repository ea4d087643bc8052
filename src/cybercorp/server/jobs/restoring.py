"""At start: what the store knows of the hosts goes back into the live fleet."""

from __future__ import annotations

from cybercorp.protocol.metrics import Aggregation, parse_metric_selector
from cybercorp.server.services.fleet import HISTORY_STEP_MS, HISTORY_STEPS, LiveHost
from cybercorp.server.wiring import Services
from cybercorp.store.timeseries.rows import Selection


def restore_fleet(services: Services, rows: list[LiveHost]) -> None:
    """After a start: the newest row and the last five minutes of CPU of every host, from the store."""
    now_ms = services.clock.now_ms()
    for host in rows:
        latest = services.store.latest(host.key)
        catalogue = services.store.catalogue_at(host.key) if latest else None
        if latest is not None and catalogue is not None and catalogue.id == latest.catalogue:
            seen = host.seen_at_ms
            host.take_row(catalogue, latest.timestamp_ms, latest.body, now_ms)
            host.seen_at_ms = max(seen or 0, min(latest.timestamp_ms, now_ms))
    if not rows:
        return
    end_ms = now_ms - now_ms % HISTORY_STEP_MS + HISTORY_STEP_MS
    start_ms = end_ms - HISTORY_STEPS * HISTORY_STEP_MS
    selector = parse_metric_selector("cpu")
    selections = [Selection(host.key, selector) for host in rows]
    by_key = {host.key: host for host in rows}
    for one in services.store.query(selections, start_ms, end_ms, HISTORY_STEP_MS, Aggregation.AVG):
        values = [None if v != v else v for v in one.values.tolist()]
        by_key[one.host].fill_history(end_ms // HISTORY_STEP_MS - 1, values)
