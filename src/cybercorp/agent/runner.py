"""The runner: one thread, one loop. It waits for the next tick or for the socket, and does what is due."""

from __future__ import annotations

import selectors

import msgspec

from cybercorp.agent.log import Log
from cybercorp.agent.schedule import Schedule, Tick
from cybercorp.agent.settings import AgentSettings
from cybercorp.agent.spool import Spool
from cybercorp.agent.tables import fit_table
from cybercorp.agent.uplink import Uplink
from cybercorp.agent.wake import Wake
from cybercorp.core.clock import Clock
from cybercorp.core.errors import UnauthenticatedError
from cybercorp.core.units import format_seconds
from cybercorp.core.version import VERSION
from cybercorp.monitors.processes import ProcessScanner
from cybercorp.monitors.sampler import Sampler
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.events import AgentEvent, EventKind, Severity
from cybercorp.protocol.processes import ProcessTable

_LONGEST_WAIT_S = 3600.0


class Runner:
    """Samples into the spool, moves the spool up the uplink. `run` returns when told to stop, or to join again."""

    def __init__(
        self,
        settings: AgentSettings,
        *,
        sampler: Sampler,
        scanner: ProcessScanner,
        schedule: Schedule,
        spool: Spool,
        uplink: Uplink,
        selector: selectors.BaseSelector,
        wake: Wake,
        clock: Clock,
        log: Log,
        rejoin: bool = False,
    ) -> None:
        self._settings = settings
        self._sampler = sampler
        self._scanner = scanner
        self._schedule = schedule
        self._spool = spool
        self._uplink = uplink
        self._selector = selector
        self._wake = wake
        self._clock = clock
        self._log = log
        self._rejoin = rejoin
        self._catalogue_id = ""
        self._top_due = clock.monotonic()
        self._watch_due = 0.0
        self._encoder = msgspec.msgpack.Encoder()
        self.failed_ticks = 0

    def run(self) -> UnauthenticatedError | None:
        """Work until `wake` is told to stop (None), or the server refuses the token and there is another way in."""
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._event(EventKind.AGENT_STARTED, Severity.INFO, f"The agent {VERSION} started.", self._clock.now_ms())
        while not self._wake.stopping:
            self._wait()
            tick = self._schedule.due()
            if tick is not None:
                self._tick(tick)
            self._uplink.poll()
            self._watch()
            if self._rejoin and self._uplink.unauthenticated is not None:
                return self._uplink.unauthenticated
        return None

    def _wait(self) -> None:
        wait_s = min(self._schedule.wait_s(), self._uplink.wait_s(), self._watch_wait_s(), _LONGEST_WAIT_S)
        for key, events in self._selector.select(wait_s):
            if key.fileobj is self._wake:
                self._wake.drain()
            else:
                self._uplink.on_ready(
                    readable=bool(events & selectors.EVENT_READ), writable=bool(events & selectors.EVENT_WRITE)
                )

    def _tick(self, tick: Tick) -> None:
        if tick.slept_s:
            self._log.line(f"The machine slept for {format_seconds(tick.slept_s)}.")
        if tick.stepped_ms:
            by = f"{tick.stepped_ms / 1000:+.3f} s"
            self._log.line(f"The clock was set by {by}.")
            self._event(
                EventKind.CLOCK_STEPPED,
                Severity.WARNING,
                f"The clock was set by {by}.",
                tick.timestamp_ms,
                {"step_ms": str(tick.stepped_ms)},
            )
        try:
            self._sample(tick.timestamp_ms)
        except Exception as error:  # noqa: BLE001 - the agent's supervisor: a bug in one reading must not end the agent
            self.failed_ticks += 1
            self._log.limited(
                "tick", f"Sampling failed ({self.failed_ticks} times so far): {type(error).__name__}: {error}"
            )
        self._spool.commit(self._uplink.sent_seq)

    def _sample(self, timestamp_ms: int) -> None:
        catalogue, row = self._sampler.sample()
        if catalogue.id != self._catalogue_id:
            self._spool.add_catalogue(catalogue)
            self._catalogue_id = catalogue.id
        self._spool.append(RecordType.SAMPLES, timestamp_ms, row, catalogue.id)
        for event in self._sampler.take_events():
            self._spool.append_event(event, timestamp_ms)
        now = self._clock.monotonic()
        if self._settings.top_processes and now >= self._top_due:
            self._top_due = now + self._settings.top_processes_interval_s - self._settings.interval_ms / 2000
            self._keep_top(self._scanner.scan(timestamp_ms))

    def _keep_top(self, table: ProcessTable) -> None:
        top = self._scanner.top(table, self._settings.top_processes)
        top = fit_table(msgspec.structs.replace(top, changes=self._scanner.take_changes()))
        self._spool.append(RecordType.PROCESSES, table.timestamp_ms, self._encoder.encode(top))

    def _watch_wait_s(self) -> float:
        if not self._uplink.watch_interval_ms:
            return _LONGEST_WAIT_S
        return max(0.0, self._watch_due - self._clock.monotonic())

    def _watch(self) -> None:
        """Send the whole process table while somebody looks at it."""
        interval_ms = self._uplink.watch_interval_ms
        if not interval_ms:
            self._watch_due = 0.0
            return
        now = self._clock.monotonic()
        if now < self._watch_due:
            return
        self._watch_due = max(self._watch_due + interval_ms / 1000, now + interval_ms / 2000)
        self._uplink.send_processes(fit_table(self._scanner.scan(self._clock.now_ms())))

    def _event(
        self,
        kind: EventKind,
        severity: Severity,
        message: str,
        timestamp_ms: int,
        attributes: dict[str, str] | None = None,
    ) -> None:
        event = AgentEvent(kind=kind, severity=severity, message=message, attributes=attributes or {})
        self._spool.append_event(event, timestamp_ms)
