"""What this server says about itself: version, load, storage, health."""

from __future__ import annotations

from cybercorp.core.clock import Clock
from cybercorp.core.errors import StorageError
from cybercorp.core.ids import new_id
from cybercorp.core.version import VERSION
from cybercorp.protocol.servers import PROTOCOL_VERSION, Health, ServerInfo, ServerStorage, StorageTier
from cybercorp.server.services.agents import AgentRegistry
from cybercorp.server.services.fleet import Fleet
from cybercorp.server.services.ingest import IngestService
from cybercorp.server.services.live import LiveService
from cybercorp.server.services.metrics import MetricService
from cybercorp.server.services.views import View
from cybercorp.store.records.database import Records
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import TimeSeriesStats


class ServerService:
    def __init__(
        self,
        *,
        records: Records,
        store: TimeSeries,
        fleet: Fleet,
        agents: AgentRegistry,
        live: LiveService,
        ingest: IngestService,
        metrics: MetricService,
        clock: Clock,
    ) -> None:
        self._records = records
        self._store = store
        self._fleet = fleet
        self._agents = agents
        self._live = live
        self._ingest = ingest
        self._metrics = metrics
        self._clock = clock
        self._instance = new_id("server")
        self._started_at_ms = clock.now_ms()
        self._rate: tuple[float, int, float] = (clock.monotonic(), 0, 0.0)
        self._records_failing = False
        self.stopping = False

    async def info(self, view: View) -> ServerInfo:
        """What the server does, with the hosts that somebody sees."""
        hosts = view.choose(self._fleet.hosts)
        stats = await self._metrics.read(self._store.stats)
        if not view.everything:
            first = [bounds[0] for host in hosts if (bounds := self._store.bounds(host.key)) is not None]
            storage = ServerStorage(oldest_ms=min(first, default=None))
        else:
            storage = await self._storage(stats)
        return ServerInfo(
            version=VERSION,
            protocol=PROTOCOL_VERSION,
            instance=self._instance,
            started_at_ms=self._started_at_ms,
            clock_ms=self._clock.now_ms(),
            hosts=len(hosts),
            agents_connected=sum(host.connected for host in hosts),
            viewers_connected=len(self._live) if view.everything else 0,
            samples_per_second=self._rate[2] if view.everything else 0.0,
            commit_p99_ms=stats.commit_p99_ms,
            storage=storage,
            partial=not view.everything,
        )

    async def _storage(self, stats: TimeSeriesStats) -> ServerStorage:
        return ServerStorage(
            records_bytes=await self._records.size_bytes(),
            samples_bytes=stats.file_bytes + stats.wal_bytes,
            free_bytes=stats.disk_free_bytes,
            oldest_ms=stats.oldest_ms,
            samples_total=stats.samples,
            unsealed_rows=stats.head_rows,
            damaged=stats.damaged,
            tiers=[
                StorageTier(
                    name=one.name,
                    size_bytes=one.size_bytes,
                    rows=one.rows,
                    values=one.values,
                    oldest_ms=one.oldest_ms,
                    newest_ms=one.newest_ms,
                )
                for one in stats.tiers
            ],
        )

    def measure(self) -> None:
        """Look at the counter of samples; called every few seconds."""
        at, before, _ = self._rate
        now, samples = self._clock.monotonic(), self._ingest.samples
        if now > at:
            self._rate = (now, samples, (samples - before) / (now - at))

    async def probe(self) -> None:
        """See whether the records can be written; called every few seconds. Raises StorageError."""
        try:
            await self._records.ping()
        except StorageError:
            self._records_failing = True
            raise
        self._records_failing = False

    def readiness(self) -> Health:
        """`failing` while stopping or while nothing can be stored."""
        if self.stopping:
            return Health(status="failing", reason="stopping")
        if self._ingest.failing or self._records_failing:
            return Health(status="failing", reason="storage")
        return Health(status="ok")
