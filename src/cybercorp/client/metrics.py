"""Metrics: which there are, and range queries over them."""

from __future__ import annotations

import builtins
import datetime as dt
from collections.abc import Sequence

from cybercorp.client.calls import Params, complete
from cybercorp.client.exports import Export, StreamingCaller, open_export
from cybercorp.client.results import QueryResult
from cybercorp.core.clock import Clock, SystemClock
from cybercorp.core.errors import InvalidInputError
from cybercorp.core.times import parse_duration_ms, parse_time_ms
from cybercorp.protocol.metrics import (
    Aggregation,
    Downsample,
    Grouping,
    MetricDescription,
    QueryAnswer,
    Ranking,
)

Instant = str | int | dt.datetime
Duration = str | int | dt.timedelta
HostSelectors = str | Sequence[str]


class AsyncMetrics:
    """The metrics of hosts: `client.metrics`."""

    def __init__(self, caller: StreamingCaller, clock: Clock | None = None) -> None:
        self._caller = caller
        self._clock = clock or SystemClock()

    async def list(self, hosts: HostSelectors = "*") -> builtins.list[MetricDescription]:
        """The metrics that the hosts have, with units, kinds, attributes and short names."""
        return await self._caller.call("GET", "/api/v1/metrics", builtins.list[MetricDescription], params=_hosts(hosts))

    async def query(
        self,
        *metrics: str,
        hosts: HostSelectors = "*",
        since: Instant = "15m",
        until: Instant = "now",
        step: Duration | None = None,
        aggregation: Aggregation | str | None = None,
        quantile: float | None = None,
        points: int | None = None,
        by: str | Sequence[str] = (),
        group: Grouping | str | None = None,
        group_quantile: float | None = None,
        topk: int | None = None,
        bottomk: int | None = None,
        rank: Ranking | str | None = None,
        downsample: Downsample | str | None = None,
    ) -> QueryResult:
        """The samples of a span of time, aggregated per step.

            result = await client.metrics.query("cpu", "mem", hosts="web-*", since="1h", step="10s")
            result = await client.metrics.query('system.disk.io{device="sda"}', since="1d", aggregation="rate")

        `metrics` are short names (`cpu`, `mem`, `net`) or selectors. `since` and `until` are expressions (`15m`,
        `yesterday 03:00`), Unix milliseconds or datetimes; `step` a duration or milliseconds, chosen to give about
        `points` where absent. `aggregation`: avg, min, max, sum, last, count, rate, increase, quantile (with `quantile`
        0–1); where absent, rate for counters and avg for gauges.

            busiest = await client.metrics.query("cpu", since="15m", step="15m", topk=10)
            means = await client.metrics.query("cpu", since="1h", by="label:env", group="avg")

        `by` joins series that have the same host (`host`), attribute (`cpu`) or label of their hosts (`label:env`), and
        `group` says how: avg, sum, min, max, count, quantile (with `group_quantile`); a `group` alone joins all.
        `topk` or `bottomk` keeps the series whose `rank` (avg, min, max, sum or last of their points) is highest or
        lowest, in that order. `downsample="minmaxlttb"` keeps about `points` samples that show the shape, peaks
        included; then each series has `times_ms` of its own.

        Raises InvalidInputError, TimeExpressionError, LimitExceededError (`too_many_points`), NotFoundError.
        """
        if not metrics:
            raise InvalidInputError("A query names at least one metric.", hint="Name one: cpu, mem, disk, net, load.")
        now_ms = self._clock.now_ms()
        params: Params = [
            *(("metric", text) for text in metrics),
            *_hosts(hosts),
            ("start_ms", _instant_ms(since, now_ms)),
            ("end_ms", _instant_ms(until, now_ms)),
            ("step_ms", None if step is None else _duration_ms(step)),
            ("aggregation", None if aggregation is None else str(aggregation)),
            ("quantile", quantile),
            ("points", points),
            *(("by", text) for text in ([by] if isinstance(by, str) else by)),
            ("group", None if group is None else str(group)),
            ("group_quantile", group_quantile),
            ("topk", topk),
            ("bottomk", bottomk),
            ("rank", None if rank is None else str(rank)),
            ("downsample", None if downsample is None else str(downsample)),
        ]
        return QueryResult(await self._caller.call("GET", "/api/v1/metrics/query", QueryAnswer, params=params))

    async def export(
        self,
        *metrics: str,
        hosts: HostSelectors = "*",
        since: Instant = "1h",
        until: Instant = "now",
        step: Duration | None = None,
        aggregation: Aggregation | str | None = None,
        quantile: float | None = None,
    ) -> Export:
        """Every sample of a span of time (with a `step`: one value for each), block by block, however much there is.

            async for block in await client.metrics.export("cpu", "net", hosts="web-*", since="7d"):
                for number, series in enumerate(block.series):
                    print(block.host, series.key, block.times_ms()[0], block.values_of(number)[0])

        `"*"` exports every series. Nothing is kept: a block is read when the one before was taken. Raises as `query`
        does, and UnreachableError (`cut`) where the server broke off.
        """
        if not metrics:
            raise InvalidInputError(
                "An export names at least one metric.", hint="Name one: cpu, mem; '*' is every one."
            )
        now_ms = self._clock.now_ms()
        params: Params = [
            *(("metric", text) for text in metrics),
            *_hosts(hosts),
            ("start_ms", _instant_ms(since, now_ms)),
            ("end_ms", _instant_ms(until, now_ms)),
            ("step_ms", None if step is None else _duration_ms(step)),
            ("aggregation", None if aggregation is None else str(aggregation)),
            ("quantile", quantile),
        ]
        return await open_export(self._caller, params)


class Metrics:
    """`AsyncMetrics` without await."""

    def __init__(self, metrics: AsyncMetrics) -> None:
        self._metrics = metrics

    def list(self, hosts: HostSelectors = "*") -> builtins.list[MetricDescription]:
        """See `AsyncMetrics.list`."""
        return complete(self._metrics.list(hosts))

    def query(
        self,
        *metrics: str,
        hosts: HostSelectors = "*",
        since: Instant = "15m",
        until: Instant = "now",
        step: Duration | None = None,
        aggregation: Aggregation | str | None = None,
        quantile: float | None = None,
        points: int | None = None,
        by: str | Sequence[str] = (),
        group: Grouping | str | None = None,
        group_quantile: float | None = None,
        topk: int | None = None,
        bottomk: int | None = None,
        rank: Ranking | str | None = None,
        downsample: Downsample | str | None = None,
    ) -> QueryResult:
        """See `AsyncMetrics.query`."""
        return complete(
            self._metrics.query(
                *metrics,
                hosts=hosts,
                since=since,
                until=until,
                step=step,
                aggregation=aggregation,
                quantile=quantile,
                points=points,
                by=by,
                group=group,
                group_quantile=group_quantile,
                topk=topk,
                bottomk=bottomk,
                rank=rank,
                downsample=downsample,
            )
        )

    def export(
        self,
        *metrics: str,
        hosts: HostSelectors = "*",
        since: Instant = "1h",
        until: Instant = "now",
        step: Duration | None = None,
        aggregation: Aggregation | str | None = None,
        quantile: float | None = None,
    ) -> Export:
        """See `AsyncMetrics.export`: `for block in client.metrics.export("cpu", since="7d")`."""
        return complete(
            self._metrics.export(
                *metrics, hosts=hosts, since=since, until=until, step=step, aggregation=aggregation, quantile=quantile
            )
        )


def _hosts(hosts: HostSelectors) -> builtins.list[tuple[str, str]]:
    return [("selector", text) for text in ([hosts] if isinstance(hosts, str) else hosts) if text != "*"]


def _instant_ms(instant: Instant, now_ms: int) -> int:
    if isinstance(instant, str):
        return parse_time_ms(instant, now_ms=now_ms)
    if isinstance(instant, dt.datetime):
        return round(instant.timestamp() * 1000)
    return instant


def _duration_ms(duration: Duration) -> int:
    if isinstance(duration, str):
        return parse_duration_ms(duration)
    if isinstance(duration, dt.timedelta):
        return round(duration.total_seconds() * 1000)
    return duration
