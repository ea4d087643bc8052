"""Range queries: from a plan to the answer, in a thread that reads the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from cybercorp.core.errors import LimitExceededError
from cybercorp.protocol.metrics import Aggregation, MetricKind, MetricSelector, QueryAnswer
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.lines import Line, curve_of, group_lines, points_of, rank
from cybercorp.server.services.matching import SeriesMatcher, explain_nothing
from cybercorp.server.services.query_plans import Plan, check_size
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.reading.rollups import Tier
from cybercorp.store.timeseries.rows import SeriesResult

LONGEST_QUERY_S = 20.0


class _Found(NamedTuple):
    """A series that the store gave, and how its samples were aggregated."""

    result: SeriesResult
    aggregation: Aggregation


class RangeQueries:
    """Asks the store and shapes what it says. Any thread may call."""

    def __init__(self, store: TimeSeries, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._matcher = SeriesMatcher()

    def answer(self, plan: Plan, metrics: Sequence[str], hosts: Sequence[LiveHost]) -> QueryAnswer:
        """The answer; `metrics` are the selectors as they were written, for errors.

        Raises LimitExceededError (`too_many_series`, `too_many_points`, `query_timeout`), NotFoundError
        (`metric_not_found`).
        """
        check_size(plan, self._matcher.count(hosts, plan.selectors))
        deadline = self._monotonic() + LONGEST_QUERY_S

        def check() -> None:
            if self._monotonic() > deadline:
                raise LimitExceededError(
                    f"The query took longer than {LONGEST_QUERY_S:.0f} s and was given up.",
                    hint="Choose fewer hosts, a shorter span or a longer step.",
                    code="query_timeout",
                )

        tier = self._store.choose_tier(plan.start_ms, plan.end_ms, plan.step_ms, plan.aggregation)
        results: list[_Found] = []
        by_key = {host.key: host for host in hosts}
        keys = list(by_key)
        for aggregation, selectors, kind in self._jobs(plan, hosts):
            found = self._store.query_hosts(
                keys,
                selectors,
                plan.start_ms,
                plan.end_ms,
                plan.step_ms,
                aggregation,
                plan.quantile,
                tier=tier,
                check=check,
            )
            results += [_Found(one, aggregation) for one in found if kind is None or one.series.kind is kind]
        for text, selector in zip(metrics, plan.selectors, strict=True):
            seen = any(selector.matches(one.result.series) for one in results)
            if not seen and not self._matcher.count(hosts, [selector]):
                explain_nothing(text, selector, hosts)
        check_size(plan, len(results))
        return self._shaped(plan, _ordered(results, plan.selectors), by_key, tier)

    def _jobs(
        self, plan: Plan, hosts: Sequence[LiveHost]
    ) -> list[tuple[Aggregation, list[MetricSelector], MetricKind | None]]:
        """Aggregations with the selectors they are for. Nothing asked for: counters as rates, gauges as averages."""
        if plan.aggregation is not None:
            return [(plan.aggregation, list(plan.selectors), None)]
        kinds = {selector: self._matcher.kinds(hosts, selector) for selector in plan.selectors}
        mixed = any(len(found) != 1 for found in kinds.values())
        jobs: list[tuple[Aggregation, list[MetricSelector], MetricKind | None]] = []
        for kind, aggregation in ((MetricKind.COUNTER, Aggregation.RATE), (MetricKind.GAUGE, Aggregation.AVG)):
            chosen = [selector for selector, found in kinds.items() if kind in found or not found]
            if chosen:
                jobs.append((aggregation, chosen, kind if mixed else None))
        return jobs

    def _shaped(self, plan: Plan, results: list[_Found], hosts: dict[int, LiveHost], tier: Tier) -> QueryAnswer:
        rates = bool(results) and all(one.result.series.kind is MetricKind.COUNTER for one in results)
        named = plan.aggregation or (Aggregation.RATE if rates else Aggregation.AVG)
        found = len(results)
        if plan.grouping is None and plan.keep:
            best = rank([one.result.values for one in results], plan.keep, plan.rank)
            results = [results[place] for place in best]
        lines = [_line(one.result, hosts, one.aggregation) for one in results]
        if plan.grouping is not None:
            labels = {host.id: host.row.labels for host in hosts.values()}
            lines = group_lines(
                lines, plan.keys, plan.grouping, plan.group_quantile, lambda host_id: labels.get(host_id, {})
            )
            found = len(lines)
            if plan.keep:
                lines = [lines[place] for place in rank([one.values for one in lines], plan.keep, plan.rank)]
        if plan.curve_points:
            span = {"start_ms": plan.start_ms, "step_ms": plan.step_ms, "points": plan.curve_points}
            series = [curve_of(line, **span) for line in lines]
        else:
            check_size(plan._replace(grouping=None, keep=0), len(lines))
            series = [points_of(line) for line in lines]
        return QueryAnswer(
            start_ms=plan.start_ms,
            step_ms=plan.step_ms,
            points=plan.points,
            aggregation=named,
            series=series,
            tier=tier.label,
            found=found,
        )


def _line(result: SeriesResult, hosts: dict[int, LiveHost], aggregation: Aggregation) -> Line:
    host, series = hosts[result.host], result.series
    return Line(
        host=host.name,
        host_id=host.id,
        name=series.name,
        attributes=series.attributes,
        unit=unit_of(series.unit, aggregation),
        kind=series.kind,
        values=result.values,
    )


def unit_of(unit: str, aggregation: Aggregation) -> str:
    """The unit of an aggregation of values with this unit."""
    if aggregation is Aggregation.COUNT:
        return "{sample}"
    if aggregation is not Aggregation.RATE:
        return unit
    return "1" if unit == "s" else f"{unit}/s"


def _ordered(results: list[_Found], selectors: Sequence[MetricSelector]) -> list[_Found]:
    """As the selectors were written, then as they were found; each series once."""
    if len(selectors) < 2:
        return results

    def place(found: _Found) -> int:
        series = found.result.series
        return next((place for place, one in enumerate(selectors) if one.matches(series)), len(selectors))

    return sorted(results, key=place)
