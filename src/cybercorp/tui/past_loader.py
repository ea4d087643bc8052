"""Brings one host's past from the server: its values, the minutes before, its processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import msgspec

from cybercorp.core.errors import CyberCorpError, NotFoundError
from cybercorp.protocol.hosts import Host
from cybercorp.protocol.metrics import HostLatest, QueryAnswer
from cybercorp.protocol.processes import ProcessTable
from cybercorp.tui.clients import MetricCalls, ProcessCalls
from cybercorp.tui.state.host_metrics import GAUGE_HISTORY, RATE_HISTORY
from cybercorp.tui.state.host_past import STEP_MS, PastTracks
from cybercorp.tui.state.host_tracks import WINDOW_MS
from cybercorp.tui.state.host_view import HostView
from cybercorp.tui.state.processes_table import sound


class HostsCalls(Protocol):
    async def get(self, host: str) -> Host: ...

    async def latest(self, host: str, at_ms: int | None = None) -> HostLatest: ...


class HostClient(Protocol):
    """What the host screen asks of a client; a `FleetClient` has it."""

    @property
    def hosts(self) -> HostsCalls: ...

    @property
    def metrics(self) -> MetricCalls: ...

    @property
    def processes(self) -> ProcessCalls: ...


class PastPicture(NamedTuple):
    """A past instant as far as it is known. `trouble` says what could not be asked, empty where all could."""

    latest: HostLatest | None
    processes: ProcessTable | str | None
    trouble: str


class PastLoader:
    """Asks for the past of the host that a view shows."""

    def __init__(self, view: HostView, ready: Callable[[], Awaitable[HostClient]]) -> None:
        self._view = view
        self._ready = ready
        self.tracks = PastTracks()

    async def host(self) -> Host:
        """Who the host is. Raises CyberCorpError."""
        host = await (await self._ready()).hosts.get(self._view.name)
        self._view.know(host)
        return host

    async def load(self, at_ms: int, ahead_ms: int = 0) -> PastPicture:
        """Everything about an instant; what plays on asks for `ahead_ms` more at once."""
        latest, trouble, processes = await asyncio.gather(
            self._latest(at_ms), self._fill(at_ms, ahead_ms), self.processes(at_ms)
        )
        troubles = (latest, trouble, processes)
        return PastPicture(
            latest if isinstance(latest, HostLatest) else None,
            processes,
            next((one for one in troubles if isinstance(one, str)), ""),
        )

    async def recent(self, until_ms: int) -> QueryAnswer:
        """The five minutes up to an instant. Raises CyberCorpError."""
        return await self._query(until_ms - WINDOW_MS, until_ms + STEP_MS)

    async def processes(self, at_ms: int) -> ProcessTable | str | None:
        """The table of an instant; why there is none; None where none was recorded."""
        try:
            answer = await (await self._ready()).processes.list(self._view.name, at_ms)
            return sound(answer.table)
        except NotFoundError:
            return None
        except CyberCorpError as error:
            return str(error)

    async def _latest(self, at_ms: int) -> HostLatest | str | None:
        try:
            return await (await self._ready()).hosts.latest(self._view.name, at_ms)
        except NotFoundError:
            return None
        except CyberCorpError as error:
            return str(error)

    async def _fill(self, at_ms: int, ahead_ms: int) -> str | None:
        missing = self.tracks.missing(at_ms, ahead_ms)
        if missing is None:
            return None
        try:
            self.tracks.fill(await self._query(*missing), *missing)
        except NotFoundError:
            return None
        except CyberCorpError as error:
            return str(error)
        return None

    async def _query(self, since_ms: int, until_ms: int) -> QueryAnswer:
        host = self._view.host or await self.host()
        result = await (await self._ready()).metrics.query(
            *GAUGE_HISTORY,
            *RATE_HISTORY,
            hosts=self._view.selector(),
            since=since_ms,
            until=until_ms,
            step=STEP_MS,
        )
        # A selector may match other hosts whose names look alike.
        kept = [one for one in result.answer.series if one.host_id == host.id]
        return msgspec.structs.replace(result.answer, series=kept)
