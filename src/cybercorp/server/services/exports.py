"""Exports: chosen series of chosen hosts, read and sent a block at a time, however much there is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from enum import StrEnum

import msgspec
import numpy as np

from cybercorp.core.clock import Clock
from cybercorp.core.errors import CyberCorpError, InvalidInputError, NotFoundError, TimeExpressionError
from cybercorp.protocol.exports import (
    CSV_HEADER,
    ExportBlock,
    ExportEnd,
    ExportFailed,
    ExportHead,
    csv_lines,
    ndjson_lines,
    pack_frame,
)
from cybercorp.protocol.metrics import Aggregation, MetricKind, MetricSelector, Series, parse_metric_selector
from cybercorp.security.display import spreadsheet_cell
from cybercorp.server.problems import problem_of
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.matching import SeriesMatcher, explain_nothing
from cybercorp.server.services.metrics import MetricService
from cybercorp.server.services.range_queries import unit_of
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.reading.rollups import Tier
from cybercorp.store.timeseries.rows import Samples, Selection

BLOCK_VALUES = 250_000
LONGEST_BLOCK_MS = 6 * 3_600_000
LEAST_BLOCK_MS = 60_000
_LAST_MS = 253_402_300_800_000


class ExportFormat(StrEnum):
    """`msgpack` is frames of protocol/exports.py; `ndjson` has a line a series and block, `csv` a line a sample."""

    MSGPACK = "msgpack"
    NDJSON = "ndjson"
    CSV = "csv"


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be exported; without `step_ms` every sample as it was stored."""

    metrics: Sequence[str]
    start_ms: int
    end_ms: int
    step_ms: int | None = None
    aggregation: Aggregation | None = None
    quantile: float | None = None


class ExportService:
    """Reads in the readers' threads; the next block is read when the one before was taken."""

    def __init__(self, store: TimeSeries, metrics: MetricService, clock: Clock) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._matcher = SeriesMatcher()

    def check(self, request: ExportRequest, hosts: Sequence[LiveHost]) -> ExportHead:
        """What will follow. Raises InvalidInputError, TimeExpressionError, NotFoundError (`metric_not_found`)."""
        if request.start_ms > self._clock.now_ms() or request.end_ms <= request.start_ms:
            raise TimeExpressionError(
                "The export ends before it starts."
                if request.end_ms <= request.start_ms
                else "It starts in the future.",
                hint="Choose --since before --until, both in the past.",
            )
        if request.start_ms < 0 or request.end_ms > _LAST_MS:
            raise TimeExpressionError("The export's times are out of range.", hint="Use Unix milliseconds.")
        if request.step_ms is None and (request.aggregation is not None or request.quantile is not None):
            raise InvalidInputError(
                "An aggregation needs a step.", hint="Give --step 1m, or leave --agg out to get every sample."
            )
        if request.step_ms is not None and request.step_ms < 1:
            raise InvalidInputError(f"The step {request.step_ms} ms is not positive.", hint="Use --step 10s.")
        if not hosts:
            raise NotFoundError("No host matches.", hint="List them with: cybercorp hosts", code="host_not_found")
        for text, selector in zip(request.metrics, _selectors(request), strict=True):
            if not self._matcher.count(hosts, [selector]):
                explain_nothing(text, selector, hosts)
        return ExportHead(
            start_ms=request.start_ms,
            end_ms=request.end_ms,
            hosts=len(hosts),
            step_ms=request.step_ms,
            tier=self._tier(request).label,
        )

    async def stream(
        self, request: ExportRequest, hosts: Sequence[LiveHost], format: ExportFormat
    ) -> AsyncGenerator[bytes, None]:
        """The body, piece by piece. An error of the store ends it: told by a frame, else by breaking off."""
        head = self.check(request, hosts)
        blocks = 0
        if format is ExportFormat.MSGPACK:
            yield pack_frame(head)
        elif format is ExportFormat.CSV:
            yield CSV_HEADER.encode()
        try:
            async for block in self._blocks(request, hosts):
                blocks += 1
                if data := await self._metrics.read(lambda block=block: _packed(block, format)):  # type: ignore[misc]
                    yield data
        except CyberCorpError as error:
            if format is not ExportFormat.MSGPACK:
                raise
            yield pack_frame(ExportFailed(problem=problem_of(error)))
            return
        if format is ExportFormat.MSGPACK:
            yield pack_frame(ExportEnd(blocks=blocks))

    async def _blocks(self, request: ExportRequest, hosts: Sequence[LiveHost]) -> AsyncGenerator[ExportBlock, None]:
        selectors = _selectors(request)
        for number, host in enumerate(hosts):
            bounds = self._store.bounds(host.key)
            if bounds is None:
                continue
            start_ms, end_ms = max(request.start_ms, bounds[0]), min(request.end_ms, bounds[1] + 1)
            step_ms = request.step_ms
            if step_ms is not None:
                start_ms, end_ms = start_ms - start_ms % step_ms, end_ms + (step_ms - end_ms % step_ms) % step_ms
            at = start_ms
            while at < end_ms:
                until = min(at + self._length(host, selectors, step_ms), end_ms)
                done = (number + (until - start_ms) / (end_ms - start_ms)) / len(hosts)
                block = await self._metrics.read(
                    lambda host=host, at=at, until=until, done=done: self._block(  # type: ignore[misc]
                        request, selectors, host, at, until, done
                    )
                )
                if block is not None:
                    yield block
                at = until

    def _length(self, host: LiveHost, selectors: Sequence[MetricSelector], step_ms: int | None) -> int:
        """Milliseconds of a block: few enough values, and whole steps."""
        rows = BLOCK_VALUES // max(1, self._matcher.count([host], selectors))
        if step_ms is None:
            return max(LEAST_BLOCK_MS, min(LONGEST_BLOCK_MS, rows * max(host.row.interval_ms, 100)))
        return max(1, min(rows, 10_000)) * step_ms

    def _block(
        self,
        request: ExportRequest,
        selectors: Sequence[MetricSelector],
        host: LiveHost,
        start_ms: int,
        end_ms: int,
        done: float,
    ) -> ExportBlock | None:
        if request.step_ms is None:
            samples = self._store.samples(host.key, selectors, start_ms, end_ms)
        else:
            samples = self._stepped(request, selectors, host.key, start_ms, end_ms)
        if not len(samples.timestamps) or not samples.series:
            return None
        return ExportBlock(
            host=host.name,
            host_id=host.id,
            labels=host.row.labels,
            series=samples.series,
            times=samples.timestamps.astype("<i8").tobytes(),
            values=np.ascontiguousarray(samples.values.T, dtype="<f8").tobytes(),
            done=done,
        )

    def _stepped(
        self, request: ExportRequest, selectors: Sequence[MetricSelector], host: int, start_ms: int, end_ms: int
    ) -> Samples:
        step_ms = request.step_ms or 1
        asked = request.aggregation or (Aggregation.QUANTILE if request.quantile is not None else None)
        jobs = (
            [(asked, None)] if asked else [(Aggregation.AVG, MetricKind.GAUGE), (Aggregation.RATE, MetricKind.COUNTER)]
        )
        series: list[Series] = []
        columns = []
        for aggregation, kind in jobs:
            wanted = [Selection(host, selector) for selector in selectors]
            found = self._store.query(
                wanted, start_ms, end_ms, step_ms, aggregation, request.quantile, tier=self._tier(request)
            )
            chosen = [one for one in found if kind is None or one.series.kind is kind]
            columns += [one.values for one in chosen]
            series += [
                msgspec.structs.replace(one.series, unit=unit_of(one.series.unit, aggregation)) for one in chosen
            ]
        times = np.arange(start_ms, end_ms, step_ms, dtype=np.int64)
        if not columns:
            return Samples([], times[:0], np.empty((0, 0)))
        values = np.stack(columns, axis=1)
        known = np.isfinite(values).any(axis=1)
        return Samples(series, times[known], values[known])

    def _tier(self, request: ExportRequest) -> Tier:
        if request.step_ms is None:
            return Tier.RAW
        asked = Aggregation.QUANTILE if request.quantile is not None else request.aggregation
        start_ms = request.start_ms - request.start_ms % request.step_ms
        return self._store.choose_tier(start_ms, request.end_ms, request.step_ms, asked)


def _selectors(request: ExportRequest) -> list[MetricSelector]:
    return [parse_metric_selector(text) for text in request.metrics]


def _packed(block: ExportBlock, format: ExportFormat) -> bytes:
    if format is ExportFormat.MSGPACK:
        return pack_frame(block)
    if format is ExportFormat.CSV:
        return "".join(csv_lines(block, spreadsheet_cell)).encode()
    return b"".join(msgspec.json.encode(line) + b"\n" for line in ndjson_lines(block))
