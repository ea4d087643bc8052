"""Metrics: what there is, the newest values, and range queries with their limits."""

from __future__ import annotations

import asyncio
import difflib
import math
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
import numpy as np

from cybercorp.core.clock import Clock
from cybercorp.core.errors import InvalidInputError, LimitExceededError, NotFoundError, TimeExpressionError
from cybercorp.core.times import format_duration_ms
from cybercorp.protocol.metrics import (
    ALIASES,
    Aggregation,
    Catalogue,
    HostLatest,
    LatestValue,
    MetricDescription,
    MetricKind,
    MetricSelector,
    QueryAnswer,
    Series,
    SeriesPoints,
    parse_metric_selector,
)
from cybercorp.server.services.fleet import LiveHost
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import Selection, SeriesResult

MAX_POINTS = 11_000
MAX_VALUES = 2_000_000
DEFAULT_POINTS = 300
LATEST_WITHIN_MS = 60_000
MAX_ATTRIBUTE_VALUES = 100
_NICE_STEPS_MS = [
    1000 * n
    for n in (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800)
]
ResultT = TypeVar("ResultT")


class QueryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A range query as it was asked; see the REST reference."""

    metrics: Sequence[str]
    start_ms: int
    end_ms: int
    step_ms: int | None = None
    aggregation: Aggregation | None = None
    quantile: float | None = None
    points: int = DEFAULT_POINTS


class MetricService:
    """Reads the store in a few threads of its own, so that a large query delays nobody's live picture."""

    def __init__(self, store: TimeSeries, clock: Clock) -> None:
        self._store = store
        self._clock = clock
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
                alias=_alias_of(name),
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

        Raises TimeExpressionError (`invalid_time`), LimitExceededError (`too_many_points`), NotFoundError
        (`metric_not_found`), InvalidInputError.
        """
        now_ms = self._clock.now_ms()
        step_ms = self._step(request, now_ms)
        start_ms = request.start_ms - request.start_ms % step_ms
        points = max(1, -(-(request.end_ms - start_ms) // step_ms))
        if points > MAX_POINTS:
            fitting = _nice_step(request.end_ms - request.start_ms, MAX_POINTS)
            raise LimitExceededError(
                f"A step of {format_duration_ms(step_ms)} over this span gives {points:,} points a series; "
                f"{MAX_POINTS:,} are the most.",
                hint=f"Use --step {format_duration_ms(fitting)} or a shorter span.",
                code="too_many_points",
            )
        if request.quantile is not None and not 0 <= request.quantile <= 1:
            raise InvalidInputError(f"The quantile {request.quantile:g} is out of range.", hint="Use 0 to 1.")
        selectors = [parse_metric_selector(text) for text in request.metrics]
        end_ms = start_ms + points * step_ms

        def work() -> QueryAnswer:
            self._check_size(selectors, hosts, points)
            series: list[SeriesPoints] = []
            for text, selector in zip(request.metrics, selectors, strict=True):
                found = self._run(request, selector, hosts, start_ms, end_ms, step_ms)
                if not found and hosts:
                    self._explain_nothing(text, selector, hosts)
                series.extend(found)
            named = request.aggregation or (Aggregation.RATE if _all_rates(series) else Aggregation.AVG)
            return QueryAnswer(start_ms=start_ms, step_ms=step_ms, points=points, aggregation=named, series=series)

        return await self.read(work)

    def _step(self, request: QueryRequest, now_ms: int) -> int:
        if request.start_ms > now_ms:
            raise TimeExpressionError(
                "The query starts in the future, where nothing is stored.",
                hint="Choose a start before now: --since 15m.",
            )
        if request.start_ms < 0 or request.end_ms > 253_402_300_800_000:
            raise TimeExpressionError("The query's times are out of range.", hint="Use Unix milliseconds.")
        if request.end_ms <= request.start_ms:
            raise TimeExpressionError("The query ends before it starts.", hint="Choose --since before --until.")
        if request.step_ms is not None:
            if request.step_ms < 1:
                raise InvalidInputError(f"The step {request.step_ms} ms is not positive.", hint="Use --step 10s.")
            return request.step_ms
        if not 1 <= request.points <= MAX_POINTS:
            raise InvalidInputError(f"{request.points} points cannot be made.", hint=f"Ask for 1 to {MAX_POINTS}.")
        return _nice_step(request.end_ms - request.start_ms, request.points)

    @staticmethod
    def _check_size(selectors: Sequence[MetricSelector], hosts: Sequence[LiveHost], points: int) -> None:
        matching = sum(1 for host in hosts for one in _series_of(host) for each in selectors if each.matches(one))
        if matching * points > MAX_VALUES:
            raise LimitExceededError(
                f"The answer would hold {matching:,} series of {points:,} points; {MAX_VALUES:,} values are the most.",
                hint="Choose fewer hosts or series, or a longer step.",
                code="too_many_points",
            )

    def _run(
        self,
        request: QueryRequest,
        selector: MetricSelector,
        hosts: Sequence[LiveHost],
        start_ms: int,
        end_ms: int,
        step_ms: int,
    ) -> list[SeriesPoints]:
        names = {host.key: host for host in hosts}
        selections = [Selection(host.key, selector) for host in hosts]
        chosen = request.aggregation
        if chosen is not None:
            results = self._store.query(selections, start_ms, end_ms, step_ms, chosen, request.quantile)
            return [_points(one, names, chosen) for one in results]
        # Nothing was asked for: counters as rates, gauges as averages. Most selectors mean one kind only.
        kinds = {one.kind for host in hosts for one in _series_of(host) if selector.matches(one)}
        answer = []
        for kind in kinds or {MetricKind.GAUGE}:
            default = Aggregation.RATE if kind is MetricKind.COUNTER else Aggregation.AVG
            results = self._store.query(selections, start_ms, end_ms, step_ms, default, None)
            answer += [_points(one, names, default) for one in results if one.series.kind is kind]
        return sorted(answer, key=lambda one: (one.host, one.key))

    def _explain_nothing(self, text: str, selector: MetricSelector, hosts: Sequence[LiveHost]) -> None:
        """Nothing in the range is no error where the metric exists; an unknown metric is."""
        names = {one.name for host in hosts for one in _series_of(host)}
        if not names or any(selector.matches(one) for host in hosts for one in _series_of(host)):
            return
        if selector.name in names or "*" in selector.name:
            raise NotFoundError(
                f"No series of these hosts matches {text[:200]}.",
                hint="Check its attributes with: cybercorp metrics list.",
                code="metric_not_found",
            )
        close = difflib.get_close_matches(selector.name, [*names, *ALIASES], n=1, cutoff=0.5)
        raise NotFoundError(
            f"These hosts have no metric '{text[:200]}'.",
            hint=f"Did you mean '{close[0]}'?" if close else "List them with: cybercorp metrics list.",
            code="metric_not_found",
        )


def _series_of(host: LiveHost) -> tuple[Series, ...]:
    return host.catalogue.series if host.catalogue else ()


def _points(result: SeriesResult, hosts: dict[int, LiveHost], aggregation: Aggregation) -> SeriesPoints:
    host, series = hosts[result.host], result.series
    values = result.values.astype(object)
    values[~np.isfinite(result.values)] = None
    return SeriesPoints(
        host=host.name,
        host_id=host.id,
        name=series.name,
        attributes=series.attributes,
        unit=_unit(series.unit, aggregation),
        kind=series.kind,
        values=values.tolist(),
    )


def _unit(unit: str, aggregation: Aggregation) -> str:
    if aggregation is Aggregation.COUNT:
        return "{sample}"
    if aggregation is not Aggregation.RATE:
        return unit
    return "1" if unit == "s" else f"{unit}/s"


def _all_rates(series: Sequence[SeriesPoints]) -> bool:
    return bool(series) and all(one.kind is MetricKind.COUNTER for one in series)


def _nice_step(span_ms: int, points: int) -> int:
    wanted = span_ms / points
    return next((step for step in _NICE_STEPS_MS if step >= wanted), math.ceil(wanted / 604_800_000) * 604_800_000)


def _alias_of(name: str) -> str | None:
    return next((alias for alias, one in ALIASES.items() if parse_metric_selector(alias).name == name), None)
