"""At start: what the store knows of the hosts goes back into the live fleet."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator, Sequence

from cybercorp.core.errors import StorageError
from cybercorp.protocol.metrics import Aggregation, parse_metric_selector
from cybercorp.server.services.fleet import HISTORY_STEP_MS, HISTORY_STEPS, LiveHost
from cybercorp.server.wiring import Services
from cybercorp.store.timeseries.rows import Selection, SeriesResult

HOSTS_AT_ONCE = 100
_LOG = logging.getLogger("cybercorp.restoring")


def restore_rows(services: Services, hosts: Sequence[LiveHost]) -> None:
    """Before anybody is served: the newest row of every host, from the store."""
    now_ms = services.clock.now_ms()
    for host in hosts:
        latest = services.store.latest(host.key)
        catalogue = services.store.catalogue_at(host.key) if latest else None
        if latest is not None and catalogue is not None and catalogue.id == latest.catalogue:
            seen = host.seen_at_ms
            host.take_row(catalogue, latest.timestamp_ms, latest.body, now_ms)
            host.seen_at_ms = max(seen or 0, min(latest.timestamp_ms, now_ms))


async def restore_history(services: Services, hosts: Sequence[LiveHost]) -> None:
    """The last five minutes of CPU of every host, from the store: with much in the log this takes some seconds."""
    end_ms = services.clock.now_ms() // HISTORY_STEP_MS * HISTORY_STEP_MS + HISTORY_STEP_MS
    for group in _groups(hosts):
        try:
            found = await asyncio.to_thread(_read_history, services, group, end_ms)
        except StorageError as error:
            _LOG.warning("the last minutes could not be read: %s", error)
            return
        by_key = {host.key: host for host in group}
        for one in found:
            values = [None if v != v else v for v in one.values.tolist()]
            by_key[one.host].fill_history(end_ms // HISTORY_STEP_MS - 1, values)


def _read_history(services: Services, hosts: Sequence[LiveHost], end_ms: int) -> list[SeriesResult]:
    selector = parse_metric_selector("cpu")
    selections = [Selection(host.key, selector) for host in hosts]
    start_ms = end_ms - HISTORY_STEPS * HISTORY_STEP_MS
    return services.store.query(selections, start_ms, end_ms, HISTORY_STEP_MS, Aggregation.AVG)


def _groups(hosts: Sequence[LiveHost]) -> Iterator[list[LiveHost]]:
    waiting = iter(hosts)
    while group := list(itertools.islice(waiting, HOSTS_AT_ONCE)):
        yield group
