"""Events on the wire: what happened, when, to whom. Appended once, never changed."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class EventKind(StrEnum):
    """Kinds are `noun.past-tense`."""

    HOST_JOINED = "host.joined"
    HOST_CONNECTED = "host.connected"
    HOST_DISCONNECTED = "host.disconnected"
    HOST_REMOVED = "host.removed"
    HOST_RENAMED = "host.renamed"
    HOST_REBOOTED = "host.rebooted"
    HOST_LABELLED = "host.labelled"
    AGENT_STARTED = "agent.started"
    AGENT_REFUSED = "agent.refused"
    SAMPLES_DROPPED = "samples.dropped"
    MONITOR_FAILED = "monitor.failed"
    MONITOR_RECOVERED = "monitor.recovered"
    CATALOGUE_CHANGED = "catalogue.changed"
    CLOCK_STEPPED = "clock.stepped"
    SERVER_STARTED = "server.started"
    SERVER_STOPPED = "server.stopped"
    STORAGE_FAILED = "storage.failed"
    STORAGE_RECOVERED = "storage.recovered"
    STORAGE_DAMAGED = "storage.damaged"
    AUDIT_CHANGED = "audit.changed"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `id` is its offset in the log of this server (grows, never reused); `time_ms` when it happened."""

    id: int
    time_ms: int
    kind: str
    severity: Severity
    message: str
    host_id: str | None = None
    host: str | None = None
    attributes: dict[str, str] = {}


class AgentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that an agent reports through its durable stream; the server adds id and host."""

    kind: str
    severity: Severity
    message: str
    attributes: dict[str, str] = {}


class EventsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events oldest first. `next_after` continues the list; `epoch` names the log the offsets belong to."""

    epoch: str
    events: list[Event]
    next_after: int | None = None
