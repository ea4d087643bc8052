"""Metrics: what there is, the newest values, and range queries, all read in threads of their own."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from cybercorp.core.clock import Clock
from cybercorp.core.errors import NotFoundError
from cybercorp.protocol.metrics import (
    ALIASES,
    Catalogue,
    HostLatest,
    LatestValue,
    MetricDescription,
    QueryAnswer,
    Series,
    parse_metric_selector,
)
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.query_plans import QueryRequest, make_plan
from cybercorp.server.services.range_queries import RangeQueries
from cybercorp.store.timeseries.engine import TimeSeries

LATEST_WITHIN_MS = 60_000
MAX_ATTRIBUTE_VALUES = 100
_ALIAS_NAMES = {parse_metric_selector(alias).name: alias for alias in reversed(ALIASES)}
ResultT = TypeVar("ResultT")


class MetricService:
    """Reads the store in a few threads of its own, so that a large query delays nobody's live picture."""

    def __init__(self, store: TimeSeries, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._queries = RangeQueries(store, clock.monotonic)
        self._readers = ThreadPoolExecutor(2, "cybercorp-reader")

    async def read(self, work: Callable[[], ResultT]) -> ResultT:
        """Run something that reads the store in a reader's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def close(self) -> None:
        self._readers.shutdown(cancel_futures=True)

    def describe(self, hosts: Sequence[LiveHost]) -> list[MetricDescription]:
        """Every metric of these hosts, by name."""
        found: dict[str, tuple[Series, set[int], set[str], dict[str, set[str]]]] = {}
        for host in hosts:
            for one in host.catalogue.series if host.catalogue else ():
                entry = found.setdefault(one.name, (one, set(), set(), {}))
                entry[1].add(host.key)
                entry[2].add(f"{host.key} {one.key}")
                for key, value in one.attributes.items():
                    values = entry[3].setdefault(key, set())
                    if len(values) < MAX_ATTRIBUTE_VALUES:
                        values.add(value)
        return [
            MetricDescription(
                name=name,
                unit=one.unit,
                kind=one.kind,
                alias=_ALIAS_NAMES.get(name),
                hosts=len(keys),
                series=len(series),
                attributes={key: sorted(values) for key, values in sorted(attributes.items())},
            )
            for name, (one, keys, series, attributes) in sorted(found.items())
        ]

    async def latest(self, host: LiveHost, at_ms: int | None = None) -> HostLatest:
        """The newest value of every series, now or at an instant. Raises NotFoundError (`no_samples`)."""
        timestamp_ms, catalogue, body = host.timestamp_ms, host.catalogue, host.body
        if at_ms is not None:
            timestamp_ms, catalogue, body = await self.read(lambda: self._at(host, at_ms))
        if catalogue is None or not body:
            raise NotFoundError(
                f"There are no samples of {host.name}{'' if at_ms is None else ' at that time'}.",
                hint="Choose a time when its agent was running." if at_ms else "Wait for its agent to send.",
                code="no_samples",
            )
        values = struct.unpack(f"<{len(catalogue.series)}d", body)
        return HostLatest(
            host=host.name,
            host_id=host.id,
            timestamp_ms=timestamp_ms,
            values=[
                LatestValue(
                    name=one.name,
                    attributes=one.attributes,
                    unit=one.unit,
                    kind=one.kind,
                    value=value if math.isfinite(value) else None,
                    timestamp_ms=timestamp_ms,
                )
                for one, value in zip(catalogue.series, values, strict=True)
            ],
        )

    def _at(self, host: LiveHost, at_ms: int) -> tuple[int, Catalogue | None, bytes]:
        row = self._store.row_at(host.key, at_ms, LATEST_WITHIN_MS)
        if row is None:
            return at_ms, None, b""
        return row.timestamp_ms, self._store.catalogue_at(host.key, row.timestamp_ms), row.body

    async def query(self, request: QueryRequest, hosts: Sequence[LiveHost]) -> QueryAnswer:
        """Answer a range query.

        Raises TimeExpressionError (`invalid_time`), LimitExceededError (`too_many_points`, `too_many_series`,
        `query_timeout`), NotFoundError (`metric_not_found`), InvalidInputError.
        """
        plan = make_plan(request, self._clock.now_ms(), self._store.finest_step_ms(request.start_ms))
        return await self.read(lambda: self._queries.answer(plan, request.metrics, hosts))
