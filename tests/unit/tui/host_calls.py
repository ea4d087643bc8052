"""A host for tests that answers the calls of `HostBoard` from memory: real values, no server."""

from __future__ import annotations

import asyncio

from cybercorp.client.results import QueryResult
from cybercorp.core.errors import CyberCorpError, NotFoundError
from cybercorp.protocol.hosts import Host, HostFacts, HostState
from cybercorp.protocol.live import MetricsCatalogueUpdate, MetricsUpdate, ProcessesUpdate
from cybercorp.protocol.metrics import HostLatest, LatestValue, QueryAnswer, SeriesPoints
from cybercorp.protocol.processes import HostProcesses, ProcessTable
from tests.unit.tui.host_rows import HostRows

HOST_ID = "h1"


class HostCalls:
    """`hosts`, `metrics` and `processes` of one host. `failure` is raised by every call while it is set."""

    def __init__(self, rows: HostRows, *, name: str = "web-1", facts: HostFacts | None = None) -> None:
        self.rows = rows
        self.name = name
        self.facts = facts or HostFacts(os_description="Debian GNU/Linux 12", cpu_count=2, memory_bytes=34_359_738_368)
        self.past: dict[int, ProcessTable] = {}
        self.recorded_from_ms = 0
        self.failure: CyberCorpError | None = None
        self.asked: list[tuple[str, int | None]] = []
        self.gate: asyncio.Event | None = None

    @property
    def hosts(self) -> HostCalls:
        return self

    @property
    def metrics(self) -> HostCalls:
        return self

    @property
    def processes(self) -> HostCalls:
        return self

    async def ready(self) -> HostCalls:
        return self

    async def get(self, host: str) -> Host:
        await self._arrive("get", None)
        return Host(
            id=HOST_ID,
            name=self.name,
            state=HostState.ONLINE,
            joined_at_ms=0,
            facts=self.facts,
            labels={"env": "prod", "team": "shop"},
        )

    async def latest(self, host: str, at_ms: int | None = None) -> HostLatest:
        await self._arrive("latest", at_ms)
        if at_ms is not None and at_ms < self.recorded_from_ms:
            raise NotFoundError("Nothing is recorded then.", hint="Choose a later time.")
        stamp = at_ms or 1_000_000
        values = [
            LatestValue(
                name=one.name,
                attributes=one.attributes,
                unit=one.unit,
                kind=one.kind,
                value=0.07 if one.key == "system.cpu.utilization" else self.rows.values[one.key],
                timestamp_ms=stamp,
            )
            for one in self.rows.catalogue.series
        ]
        return HostLatest(host=self.name, host_id=HOST_ID, timestamp_ms=stamp, values=values)

    async def query(
        self,
        *metrics: str,
        hosts: str,
        since: int,
        until: int,
        step: int | None = None,
        points: int | None = None,
        group: str | None = None,
    ) -> QueryResult:
        await self._arrive("query", until)
        assert step is not None
        count = (until - since) // step
        series = [
            SeriesPoints(
                host=self.name,
                host_id=HOST_ID,
                name=one.name,
                attributes=one.attributes,
                unit=one.unit,
                kind=one.kind,
                values=[0.25] * count,
            )
            for one in self.rows.catalogue.series
            if one.key == "system.cpu.utilization" or one.name == "system.disk.io"
        ]
        return QueryResult(QueryAnswer(start_ms=since, step_ms=step, points=count, aggregation="avg", series=series))

    async def list(self, host: str, at_ms: int | None = None) -> HostProcesses:
        await self._arrive("processes", at_ms)
        near = [stamp for stamp in self.past if at_ms is not None and abs(stamp - at_ms) <= 10_000]
        if not near:
            raise NotFoundError("No processes are recorded then.", hint="Choose a later time.")
        return HostProcesses(host=self.name, host_id=HOST_ID, live=False, table=self.past[near[0]])

    def catalogue(self) -> MetricsCatalogueUpdate:
        catalogue = self.rows.catalogue
        return MetricsCatalogueUpdate(subscription=1, host_id=HOST_ID, catalogue=catalogue.id, series=catalogue.series)

    def row(self, at_ms: int) -> MetricsUpdate:
        update = MetricsUpdate(
            subscription=1,
            host_id=HOST_ID,
            catalogue=self.rows.catalogue.id,
            timestamp_ms=at_ms,
            values=self.rows.row(),
        )
        self.rows.tick()
        return update

    def table(self, table: ProcessTable) -> ProcessesUpdate:
        return ProcessesUpdate(subscription=2, host_id=HOST_ID, table=table)

    async def _arrive(self, what: str, at_ms: int | None) -> None:
        self.asked.append((what, at_ms))
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
