"""Starts and exits of a host's processes, out of what its recorded process tables tell."""

from __future__ import annotations

from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.processes import ProcessChanges, ProcessEvent, ProcessEventKind, ProcessEvents
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.metrics import MetricService
from cybercorp.store.timeseries.engine import TimeSeries

MAX_EVENTS = 10_000
MAX_SPAN_MS = 7 * 86_400_000
_TOLD_WITHIN_MS = 60_000  # a start is told by the next table that is recorded


class ProcessEventService:
    """Reads the changes between recorded tables."""

    def __init__(self, metrics: MetricService, store: TimeSeries) -> None:
        self._metrics = metrics
        self._store = store

    async def list_(
        self, host: LiveHost, since_ms: int, until_ms: int, limit: int, name: str | None = None
    ) -> ProcessEvents:
        """Events of `[since_ms, until_ms)`, oldest first; `name` is part of a name or command.

        Raises InvalidInputError.
        """
        if not 1 <= limit <= MAX_EVENTS:
            raise InvalidInputError(f"The limit is {limit}.", hint=f"Ask for 1 to {MAX_EVENTS} events at a time.")
        if until_ms <= since_ms:
            raise InvalidInputError("The span ends before it begins.", hint="Give since before until.")
        if until_ms - since_ms > MAX_SPAN_MS:
            raise InvalidInputError("The span is longer than a week.", hint="Ask for a shorter one.")
        told = await self._metrics.read(
            lambda: self._store.process_changes(host.key, since_ms, until_ms + _TOLD_WITHIN_MS)
        )
        found = [one for one in events_of(told) if since_ms <= one.time_ms < until_ms and _is_meant(one, name)]
        return ProcessEvents(
            host=host.name,
            host_id=host.id,
            events=found[:limit],
            unlisted=sum(changes.unlisted for time_ms, changes in told if time_ms < until_ms),
            more=len(found) > limit,
        )


def events_of(told: list[tuple[int, ProcessChanges]]) -> list[ProcessEvent]:
    """Every start and exit as an event, in order of time; an exit knows the command of a start among them."""
    events: list[ProcessEvent] = []
    commands: dict[tuple[int, int], tuple[str, str, int]] = {}
    for table_ms, changes in told:
        for start in changes.started:
            commands[start.pid, start.started_at_ms] = (start.command, start.user, start.parent)
            events.append(
                ProcessEvent(
                    time_ms=min(start.started_at_ms, table_ms),
                    kind=ProcessEventKind.STARTED,
                    pid=start.pid,
                    name=start.name,
                    started_at_ms=start.started_at_ms,
                    command=start.command,
                    user=start.user,
                    parent=start.parent,
                )
            )
        for gone in changes.exited:
            command, user, parent = commands.get((gone.pid, gone.started_at_ms), (None, None, None))
            events.append(
                ProcessEvent(
                    time_ms=table_ms,
                    kind=ProcessEventKind.EXITED,
                    pid=gone.pid,
                    name=gone.name,
                    started_at_ms=gone.started_at_ms,
                    command=command,
                    user=user,
                    parent=parent,
                    seen_at_ms=gone.seen_at_ms,
                    cpu_time_s=gone.cpu_time_s,
                    rss_bytes=gone.rss_bytes,
                )
            )
    return sorted(events, key=lambda one: one.time_ms)


def _is_meant(event: ProcessEvent, name: str | None) -> bool:
    return not name or name in event.name or name in (event.command or "")
