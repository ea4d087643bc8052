"""Brings the time bar's values and marks from the server: the whole window once, then only what is new."""

from __future__ import annotations

import re

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.protocol.metrics import QueryAnswer
from cybercorp.tui.clients import FleetClient
from cybercorp.tui.state.time_track import Columns, TimeTrack

_MARKS = 500
_LOOKED_AT = 50
_LEAST_PAUSE_S = 5.0
_SELECTOR_SIGNS = re.compile(r"[*?\[\]=!<>]")


class TrackLoader:
    """Fills one `TimeTrack`. `host` is the (id, name) whose CPU is wanted; None: the mean of the fleet."""

    def __init__(self, track: TimeTrack, clock: Clock) -> None:
        self.track = track
        self.host: tuple[str, str] | None = None
        self._clock = clock
        self._loaded_at = 0.0

    def is_due(self, columns: Columns) -> bool:
        """Whether, live, there is something new to ask for."""
        pause_s = max(columns.step_ms / 1000, self.track.step_ms / 1000, _LEAST_PAUSE_S)
        return self._clock.monotonic() - self._loaded_at >= pause_s

    async def load(self, client: FleetClient, columns: Columns, *, now_ms: int) -> bool:
        """Ask for what is missing in these columns. False: nothing is.

        `now_ms` is the present: what is not complete by then is asked for again.

        Raises CyberCorpError.
        """
        self._loaded_at = self._clock.monotonic()
        host = self.host
        since_ms, until_ms = self.track.missing(columns)
        if since_ms >= until_ms:
            return False
        answer = await self._query(client, host, since_ms, until_ms, columns.step_ms)
        page = await client.events.list(
            since_ms=since_ms, until_ms=until_ms, host=host and host[0], limit=_MARKS, newest=True
        )
        if host != self.host:
            return False
        self.track.fill(answer, since_ms, until_ms, now_ms=now_ms)
        self.track.add_events(page.events)
        self.track.trim(columns)
        return True

    async def _query(
        self, client: FleetClient, host: tuple[str, str] | None, since_ms: int, until_ms: int, step_ms: int
    ) -> QueryAnswer:
        if host is None:
            result = await client.metrics.query(
                "cpu", hosts="*", since=since_ms, until=until_ms, step=step_ms, group="avg"
            )
            return result.answer
        selector = _SELECTOR_SIGNS.sub("?", host[1])
        result = await client.metrics.query("cpu", hosts=selector, since=since_ms, until=until_ms, step=step_ms)
        # A selector may match other hosts whose names look alike.
        kept = [one for one in result.answer.series if one.host_id == host[0]]
        return msgspec.structs.replace(result.answer, series=kept)


async def event_beside(client: FleetClient, at_ms: int, direction: int, *, host: str | None) -> int | None:
    """When the nearest event after (direction 1) or before (−1) an instant happened; None where there is none.

    `host` limits it to one host. Raises CyberCorpError. Agents report events late,
    so that the log's order is not quite that of time: the nearest of a page is taken.
    """
    if direction > 0:
        page = await client.events.list(since_ms=at_ms + 1, host=host, limit=_LOOKED_AT)
    else:
        page = await client.events.list(until_ms=at_ms, host=host, limit=_LOOKED_AT, newest=True)
    times = [event.time_ms for event in page.events]
    return min(times, default=None) if direction > 0 else max(times, default=None)
