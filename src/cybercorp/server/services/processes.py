"""Process tables: collected once a second only while somebody looks, else what was recorded for history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from cybercorp.core.clock import Clock
from cybercorp.core.errors import NotFoundError
from cybercorp.protocol.agents import Watch
from cybercorp.protocol.processes import HostProcesses, ProcessTable
from cybercorp.server.services.agents import AgentLink, AgentRegistry
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.metrics import MetricService
from cybercorp.store.timeseries.engine import TimeSeries

WATCH_INTERVAL_MS = 1_000
LINGER_S = 5.0
LIVE_TIMEOUT_S = 3.0
FRESH_S = 1.5
RECORDED_WITHIN_MS = 60_000


def nearest_hint(before_ms: int | None, after_ms: int | None) -> str:
    """What to ask for instead: the recorded instants next to one where nothing was recorded (Unix ms)."""
    told = [
        f"the {which} was recorded at {_instant(time_ms)}"
        for which, time_ms in (("last before", before_ms), ("first after", after_ms))
        if time_ms is not None
    ]
    if not told:
        return "None are recorded at all yet: the busiest are every ten seconds while the host's agent runs."
    first, *others = told
    return " and ".join([f"T{first[1:]}", *others]) + "."


def _instant(time_ms: int) -> str:
    """ISO 8601 in UTC, up to the next whole second: asked for again, it finds what was recorded at `time_ms`."""
    return datetime.fromtimestamp(-(-time_ms // 1000), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class ProcessService:
    """Counts who watches which host, and tells the agent when that begins and ends."""

    def __init__(self, agents: AgentRegistry, metrics: MetricService, store: TimeSeries, clock: Clock) -> None:
        self._agents = agents
        self._metrics = metrics
        self._store = store
        self._clock = clock
        self._watchers: dict[int, int] = {}
        self._watched: set[int] = set()
        self._waiting: dict[int, list[asyncio.Future[ProcessTable]]] = {}
        self._live: dict[int, tuple[float, ProcessTable]] = {}
        self.on_table: Callable[[LiveHost, ProcessTable], None] = lambda host, table: None

    def watch(self, host: LiveHost) -> None:
        """Somebody looks at this host's table now."""
        self._watchers[host.key] = self._watchers.get(host.key, 0) + 1
        self._tell(host.key, watched=True)

    def unwatch(self, host: LiveHost) -> None:
        """Somebody stopped looking; a few seconds later the agent may rest."""
        left = self._watchers.get(host.key, 1) - 1
        if left > 0:
            self._watchers[host.key] = left
            return
        self._watchers.pop(host.key, None)
        asyncio.get_running_loop().call_later(LINGER_S, self._rest, host.key)

    def greet(self, link: AgentLink) -> None:
        """A new connection learns what is watched."""
        self._watched.discard(link.host.key)
        if link.host.key in self._watchers:
            self._tell(link.host.key, watched=True)

    def take(self, host: LiveHost, table: ProcessTable) -> None:
        """A live table has arrived."""
        self._live[host.key] = (self._clock.monotonic(), table)
        host.take_table(table, self._clock.now_ms())
        for future in self._waiting.pop(host.key, []):
            if not future.done():
                future.set_result(table)
        if host.key in self._watchers:
            self.on_table(host, table)

    def forget(self, host_key: int) -> None:
        """A host was removed, or its agent is gone."""
        self._live.pop(host_key, None)
        self._watched.discard(host_key)

    def newest(self, host: LiveHost) -> ProcessTable | None:
        """The last live table, for whoever starts to look, if it is fresh enough to be true."""
        at, table = self._live.get(host.key, (0.0, None))
        return table if self._clock.monotonic() - at <= LINGER_S else None

    async def now(self, host: LiveHost) -> HostProcesses:
        """A full table from the agent, or the newest recorded one. Raises NotFoundError (`no_processes`)."""
        table = await self._ask(host) if host.connected else None
        if table is not None:
            return HostProcesses(host=host.name, host_id=host.id, live=True, table=table)
        return await self.at(host, self._clock.now_ms())

    async def at(self, host: LiveHost, at_ms: int) -> HostProcesses:
        """What was recorded at an instant. Raises NotFoundError (`no_processes`)."""
        table = await self._metrics.read(lambda: self._store.processes_at(host.key, at_ms, RECORDED_WITHIN_MS))
        if table is None:
            before, after = await self._metrics.read(lambda: self._store.nearest_processes(host.key, at_ms))
            raise NotFoundError(
                f"No processes of {host.name} were recorded in the minute before that time.",
                hint=nearest_hint(before, after),
                code="no_processes",
            )
        return HostProcesses(host=host.name, host_id=host.id, live=False, table=table)

    async def _ask(self, host: LiveHost) -> ProcessTable | None:
        at, table = self._live.get(host.key, (0.0, None))
        if table is not None and self._clock.monotonic() - at <= FRESH_S:
            return table
        future: asyncio.Future[ProcessTable] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(host.key, []).append(future)
        self.watch(host)
        try:
            return await asyncio.wait_for(future, LIVE_TIMEOUT_S)
        except TimeoutError:
            return None
        finally:
            waiting = self._waiting.get(host.key, [])
            if future in waiting:
                waiting.remove(future)
            if not waiting:
                self._waiting.pop(host.key, None)
            self.unwatch(host)

    def _rest(self, host_key: int) -> None:
        if host_key not in self._watchers:
            self._tell(host_key, watched=False)

    def _tell(self, host_key: int, *, watched: bool) -> None:
        link = self._agents.find(host_key)
        if link is None or watched is (host_key in self._watched):
            return
        (self._watched.add if watched else self._watched.discard)(host_key)
        link.watch(Watch(processes_interval_ms=WATCH_INTERVAL_MS if watched else 0))
