"""REST: the metric catalogue and range queries."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from cybercorp.protocol.exports import MEDIA_TYPE
from cybercorp.protocol.metrics import (
    Aggregation,
    Downsample,
    Grouping,
    MetricDescription,
    QueryAnswer,
    Ranking,
)
from cybercorp.protocol.permissions import Permission
from cybercorp.server.api.parameters import Selectors
from cybercorp.server.api.responses import TypedStream, problems
from cybercorp.server.services.exports import ExportFormat, ExportRequest
from cybercorp.server.services.principals import Principal
from cybercorp.server.services.query_plans import DEFAULT_POINTS, MAX_SERIES, QueryRequest
from cybercorp.server.wiring import Services

_LAST_MS = 253_402_300_800_000
_MEDIA_TYPES = {
    ExportFormat.MSGPACK: MEDIA_TYPE,
    ExportFormat.NDJSON: "application/x-ndjson",
    ExportFormat.CSV: "text/csv; charset=utf-8",
}


class MetricController(Controller):
    """Metrics: which there are, and their values over time."""

    path = "/api/v1/metrics"
    tags = ["metrics"]  # noqa: RUF012 - Litestar declares it on the instance

    @get("/", summary="List metrics", opt={"permission": Permission.METRICS_VIEW}, responses=problems(404))
    async def list_metrics(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        selector: Selectors = None,
    ) -> list[MetricDescription]:
        """The metrics of the chosen hosts: unit, kind, short name, attributes and how many hosts have them."""
        return services.metrics.describe(services.hosts.select(selector or [], principal.view(Permission.METRICS_VIEW)))

    @get("/query", summary="Query a range", opt={"permission": Permission.METRICS_VIEW}, responses=problems(404))
    async def query(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        metric: Annotated[
            list[str],
            QueryParameter(
                min_items=1,
                max_items=20,
                description='Short names (`cpu`) or selectors (`system.disk.io{device="sd*"}`); several are joined.',
            ),
        ],
        start_ms: Annotated[int, QueryParameter(description="Start of the range, Unix milliseconds, included.")],
        end_ms: Annotated[
            int | None, QueryParameter(description="End of the range, not included; absent: now.")
        ] = None,
        selector: Selectors = None,
        step_ms: Annotated[
            int | None,
            QueryParameter(ge=1, le=_LAST_MS, description="Width of a point; absent: chosen to fit `points`."),
        ] = None,
        aggregation: Annotated[
            Aggregation | None,
            QueryParameter(description="How samples become a point; absent: rate for counters, avg for gauges."),
        ] = None,
        quantile: Annotated[
            float | None, QueryParameter(ge=0, le=1, description="With aggregation=quantile: 0.95, for example.")
        ] = None,
        points: Annotated[
            int,
            QueryParameter(
                ge=1, le=11_000, description="About how many points, where no step is given or it is downsampled."
            ),
        ] = DEFAULT_POINTS,
        by: Annotated[
            list[str] | None,
            QueryParameter(
                max_items=8,
                description="Join series with the same `host`, attribute (`cpu`, `device`) or label (`label:env`).",
            ),
        ] = None,
        group: Annotated[
            Grouping | None,
            QueryParameter(description="How joined series become one; absent: avg with `by`, else they stay apart."),
        ] = None,
        group_quantile: Annotated[
            float | None, QueryParameter(ge=0, le=1, description="With group=quantile: 0.95, for example.")
        ] = None,
        topk: Annotated[
            int | None, QueryParameter(ge=1, le=MAX_SERIES, description="Only so many series with the highest `rank`.")
        ] = None,
        bottomk: Annotated[
            int | None, QueryParameter(ge=1, le=MAX_SERIES, description="Only so many series with the lowest `rank`.")
        ] = None,
        rank: Annotated[
            Ranking, QueryParameter(description="Of a series' points, what `topk` and `bottomk` compare.")
        ] = Ranking.AVG,
        downsample: Annotated[
            Downsample | None,
            QueryParameter(
                description="For charts: fine steps, of which about `points` are kept that show the shape, with times."
            ),
        ] = None,
    ) -> QueryAnswer:
        """Values per step for each matching series, or for each group of them; null where nothing is known."""
        request = QueryRequest(
            metrics=metric,
            start_ms=start_ms,
            end_ms=services.clock.now_ms() + 1 if end_ms is None else end_ms,
            step_ms=step_ms,
            aggregation=Aggregation.QUANTILE if quantile is not None and aggregation is None else aggregation,
            quantile=quantile,
            points=points,
            by=by or (),
            group=group,
            group_quantile=group_quantile,
            topk=topk,
            bottomk=bottomk,
            rank=rank,
            downsample=downsample,
        )
        hosts = services.hosts.select(selector or [], principal.view(Permission.METRICS_VIEW))
        return await services.metrics.query(request, hosts)

    @get(
        "/export",
        summary="Export samples",
        opt={"permission": Permission.METRICS_VIEW},
        responses=problems(404),
        media_type=MEDIA_TYPE,
    )
    async def export(
        self,
        services: NamedDependency[Services],
        principal: NamedDependency[Principal],
        metric: Annotated[
            list[str],
            QueryParameter(min_items=1, max_items=20, description="Short names or selectors; `*` means every series."),
        ],
        start_ms: Annotated[
            int, QueryParameter(ge=0, le=_LAST_MS, description="Start of the range, Unix milliseconds, included.")
        ],
        end_ms: Annotated[
            int | None, QueryParameter(ge=0, le=_LAST_MS, description="End of the range, not included; absent: now.")
        ] = None,
        selector: Selectors = None,
        step_ms: Annotated[
            int | None, QueryParameter(ge=1, le=_LAST_MS, description="Width of a point; absent: every sample.")
        ] = None,
        aggregation: Annotated[
            Aggregation | None, QueryParameter(description="How the samples of a step become one number.")
        ] = None,
        quantile: Annotated[float | None, QueryParameter(ge=0, le=1, description="With aggregation=quantile.")] = None,
        format: Annotated[
            ExportFormat,
            QueryParameter(
                description="`msgpack` (frames), `ndjson` (a line a series and block), `csv` (a line a value)."
            ),
        ] = ExportFormat.MSGPACK,
    ) -> Stream:
        """Every sample of the chosen series, host by host, sent while it is read. A body that was cut has no end."""
        request = ExportRequest(
            metrics=metric,
            start_ms=start_ms,
            end_ms=services.clock.now_ms() + 1 if end_ms is None else end_ms,
            step_ms=step_ms,
            aggregation=aggregation,
            quantile=quantile,
        )
        hosts = services.hosts.select(selector or [], principal.view(Permission.METRICS_VIEW))
        services.exports.check(request, hosts)
        return TypedStream(services.exports.stream(request, hosts, format), media_type=_MEDIA_TYPES[format])
