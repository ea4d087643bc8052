"""The viewers' side of the live plane: subscribe to a topic, receive updates, resume after a cut.

Topics of state (`hosts`, `host/metrics`, `host/processes`) are conflated: the latest wins. The topic `events` is a log:
it resumes after an offset, or says plainly (`resumed=False`) that it could not.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cybercorp.protocol.events import Event
from cybercorp.protocol.hosts import HostSort, HostsWindow
from cybercorp.protocol.metrics import Series
from cybercorp.protocol.processes import ProcessTable


class Topic(StrEnum):
    HOSTS = "hosts"
    METRICS = "host/metrics"
    PROCESSES = "host/processes"
    EVENTS = "events"


class Subscribe(msgspec.Struct, frozen=True, kw_only=True):
    """Open, or replace, the subscription with this number on this connection.

    `host` (name or id) is needed by the `host/…` topics; the window fields belong to `hosts`; `after` and `epoch`
    resume `events`. `interval_ms` bounds how often a conflated topic is sent.
    """

    subscription: int
    topic: Topic
    host: str | None = None
    selector: str | None = None
    sort: HostSort = HostSort.NAME
    descending: bool = False
    offset: int = 0
    limit: int = 100
    pinned: str | None = None
    interval_ms: int = 1000
    after: int | None = None
    epoch: str | None = None


class Unsubscribe(msgspec.Struct, frozen=True, kw_only=True):
    subscription: int


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The subscription is open. `resumed` is False where events between `after` and now may be missing.

    `after` is the offset that the events of this subscription follow (the newest event of the log, or the one that was
    asked for), so that a viewer can resume also before the first event came.
    """

    subscription: int
    epoch: str
    resumed: bool = True
    after: int | None = None


class HostsUpdate(msgspec.Struct, frozen=True, kw_only=True):
    subscription: int
    window: HostsWindow


class MetricsCatalogueUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The series that the values of the following `MetricsUpdate`s belong to."""

    subscription: int
    host_id: str
    catalogue: str
    series: tuple[Series, ...]


class MetricsUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """A row of samples as the agent sent it: `values` is little-endian float64, one per series of the catalogue."""

    subscription: int
    host_id: str
    catalogue: str
    timestamp_ms: int
    values: bytes


class ProcessesUpdate(msgspec.Struct, frozen=True, kw_only=True):
    subscription: int
    host_id: str
    table: ProcessTable


class EventsUpdate(msgspec.Struct, frozen=True, kw_only=True):
    subscription: int
    epoch: str
    events: list[Event]
