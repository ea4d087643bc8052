"""Who looks at what right now, and the updates for them. What many get is encoded once."""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from cybercorp.core.clock import Clock
from cybercorp.core.errors import ForbiddenError, InvalidInputError, LimitExceededError
from cybercorp.protocol.agents import Record
from cybercorp.protocol.events import Event
from cybercorp.protocol.live import (
    HostsUpdate,
    MetricsCatalogueUpdate,
    MetricsUpdate,
    Subscribe,
    Subscribed,
    Topic,
)
from cybercorp.protocol.problems import TYPE_PREFIX, Problem
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.selectors import parse_host_selector
from cybercorp.server.services.events import EventService
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.hosts import HostService
from cybercorp.server.services.policy import Rights
from cybercorp.server.services.principals import Principal, PrincipalKind
from cybercorp.server.services.processes import ProcessService
from cybercorp.server.services.viewers import Subscription, Viewer, event_parts
from cybercorp.server.services.windows import WindowService, check_window

MAX_SUBSCRIPTIONS = 64
EARLY_S = 0.02
USUAL_INTERVAL_MS = 1_000
MIN_INTERVAL_MS, MAX_INTERVAL_MS = 100, 60_000


class LiveService:
    """The viewers, indexed by what they look at."""

    def __init__(
        self,
        hosts: HostService,
        windows: WindowService,
        processes: ProcessService,
        events: EventService,
        clock: Clock,
    ) -> None:
        self._hosts = hosts
        self._windows = windows
        self._processes = processes
        self._events = events
        self._clock = clock
        self._viewers: set[Viewer] = set()
        self._metrics: dict[int, dict[tuple[Viewer, int], Subscription]] = {}
        self._tables: dict[int, dict[tuple[Viewer, int], Subscription]] = {}
        self._fleet: dict[tuple[Viewer, int], Subscription] = {}
        self._followers: dict[tuple[Viewer, int], Subscription] = {}
        self.rights_of: Callable[[Principal], Rights] = lambda principal: principal.rights

    def __len__(self) -> int:
        return len(self._viewers)

    def join(self, viewer: Viewer) -> None:
        self._viewers.add(viewer)

    def leave(self, viewer: Viewer) -> None:
        """The connection is gone, and all its subscriptions."""
        for number in list(viewer.subscriptions):
            self.unsubscribe(viewer, number)
        self._viewers.discard(viewer)

    async def subscribe(self, viewer: Viewer, request: Subscribe) -> None:
        """Open or replace a subscription. Raises NotFoundError, InvalidInputError, LimitExceededError."""
        if len(viewer.subscriptions) >= MAX_SUBSCRIPTIONS and request.subscription not in viewer.subscriptions:
            raise LimitExceededError(
                f"{MAX_SUBSCRIPTIONS} subscriptions are open on this connection.", hint="Close some first."
            )
        if not MIN_INTERVAL_MS <= request.interval_ms <= MAX_INTERVAL_MS:
            raise InvalidInputError(
                f"The interval is {request.interval_ms} ms.", hint=f"Use {MIN_INTERVAL_MS} to {MAX_INTERVAL_MS}."
            )
        made = Subscription(request=request)
        if request.topic in (Topic.METRICS, Topic.PROCESSES):
            if not request.host:
                raise InvalidInputError(f"The topic {request.topic} needs a host.", hint="Name one.")
            made.host = self._hosts.get(request.host, viewer.view(request.topic))
        elif request.topic is Topic.HOSTS:
            parse_host_selector(request.selector)
            check_window(request.offset, request.limit)
        self.unsubscribe(viewer, request.subscription)
        viewer.subscriptions[request.subscription] = made
        key = (viewer, request.subscription)
        match request.topic:
            case Topic.HOSTS:
                self._fleet[key] = made
                self._confirm(viewer, made)
                self._send_window(viewer, made)
            case Topic.METRICS if made.host is not None:
                self._metrics.setdefault(made.host.key, {})[key] = made
                self._confirm(viewer, made)
                self._send_latest(viewer, made, made.host)
            case Topic.PROCESSES if made.host is not None:
                self._tables.setdefault(made.host.key, {})[key] = made
                self._processes.watch(made.host)
                self._confirm(viewer, made)
                table = self._processes.newest(made.host)
                if table is not None:
                    self._send_table(viewer, made, made.host, viewer.codec.encode_payload(table))
            case Topic.EVENTS:
                await self._follow(viewer, made)

    def unsubscribe(self, viewer: Viewer, number: int) -> None:
        """Close a subscription; closing one that is not open is no error."""
        old = viewer.subscriptions.pop(number, None)
        if old is None:
            return
        key = (viewer, number)
        self._fleet.pop(key, None)
        self._followers.pop(key, None)
        for index in (self._metrics, self._tables):
            if old.host is not None and key in index.get(old.host.key, {}):
                del index[old.host.key][key]
                if not index[old.host.key]:
                    del index[old.host.key]
                if index is self._tables:
                    self._processes.unwatch(old.host)
        for kind in ("hosts", "catalogue", "samples", "table"):
            viewer.outbox.forget_state((kind, number))

    def drop_host(self, host: LiveHost) -> None:
        """A host was removed: nothing of it is sent any more."""
        for index in (self._metrics, self._tables):
            for viewer, number in list(index.get(host.key, {})):
                self.unsubscribe(viewer, number)

    def row_arrived(self, host: LiveHost, record: Record) -> None:
        """Hand a row of samples on as it is, once encoded for each (format, subscription number)."""
        watching = self._metrics.get(host.key)
        if not watching:
            return
        encoded: dict[tuple[str, int], bytes] = {}
        for (viewer, number), one in watching.items():
            if not viewer.view(Topic.METRICS).sees(host) or not self._is_due(one, host):
                continue
            if one.catalogue != record.catalogue:
                self._send_catalogue(viewer, one, host)
            key = (viewer.codec.format, number)
            data = encoded.get(key)
            if data is None:
                update = MetricsUpdate(
                    subscription=number,
                    host_id=host.id,
                    catalogue=record.catalogue,
                    timestamp_ms=record.timestamp_ms,
                    values=record.body,
                )
                data = encoded[key] = viewer.codec.encode("metrics.samples", update)
            viewer.outbox.put_state(("samples", number), data)

    def table_arrived(self, host: LiveHost, table: ProcessTable) -> None:
        """Hand a process table on; the table itself is encoded once for each format."""
        raws: dict[str, msgspec.Raw] = {}
        for (viewer, _), one in self._tables.get(host.key, {}).items():
            if not viewer.view(Topic.PROCESSES).sees(host) or not self._is_due(one, host):
                continue
            raw = raws.get(viewer.codec.format)
            if raw is None:
                raw = raws[viewer.codec.format] = viewer.codec.encode_payload(table)
            self._send_table(viewer, one, host, raw)

    def events_appended(self, events: list[Event]) -> None:
        """Hand events on to who follows; a follower that is still being caught up gets them after that."""
        for (viewer, number), one in self._followers.items():
            if one.held is not None:
                one.held.extend(events)
            else:
                self._send_events(viewer, number, one, events)

    def tick(self) -> None:
        """Send the windows that are due."""
        now = self._clock.monotonic()
        for (viewer, _), one in list(self._fleet.items()):
            if now >= one.due_at:
                self._send_window(viewer, one)

    def _is_due(self, one: Subscription, host: LiveHost) -> bool:
        """Whether a subscription that asked for fewer updates than its host sends gets this one."""
        if one.request.interval_ms <= max(host.row.interval_ms, USUAL_INTERVAL_MS):
            return True
        now = self._clock.monotonic()
        if now < one.due_at:
            return False
        one.due_at = now + one.request.interval_ms / 1000 - EARLY_S
        return True

    def _confirm(self, viewer: Viewer, one: Subscription, *, after: int | None = None, resumed: bool = True) -> None:
        told = Subscribed(subscription=one.request.subscription, epoch=self._events.epoch, resumed=resumed, after=after)
        viewer.outbox.put_entry(viewer.codec.encode("live.subscribed", told))

    def _send_window(self, viewer: Viewer, one: Subscription) -> None:
        asked = one.request
        one.due_at = self._clock.monotonic() + asked.interval_ms / 1000 - EARLY_S
        window = self._windows.now(viewer.view(Topic.HOSTS)).window(
            asked.selector or "",
            asked.sort,
            asked.descending,
            offset=asked.offset,
            limit=asked.limit,
            pinned=asked.pinned,
        )
        data = viewer.codec.encode("hosts.window", HostsUpdate(subscription=asked.subscription, window=window))
        viewer.outbox.put_state(("hosts", asked.subscription), data)

    def _send_latest(self, viewer: Viewer, one: Subscription, host: LiveHost) -> None:
        if host.catalogue is None or not host.body:
            return
        self._send_catalogue(viewer, one, host)
        update = MetricsUpdate(
            subscription=one.request.subscription,
            host_id=host.id,
            catalogue=host.catalogue.id,
            timestamp_ms=host.timestamp_ms,
            values=host.body,
        )
        viewer.outbox.put_state(("samples", one.request.subscription), viewer.codec.encode("metrics.samples", update))

    def _send_catalogue(self, viewer: Viewer, one: Subscription, host: LiveHost) -> None:
        if host.catalogue is None:
            return
        number = one.request.subscription
        one.catalogue = host.catalogue.id
        update = MetricsCatalogueUpdate(
            subscription=number, host_id=host.id, catalogue=host.catalogue.id, series=host.catalogue.series
        )
        # Samples of the old catalogue that still wait would follow the new one: they are not sent.
        viewer.outbox.forget_state(("samples", number))
        viewer.outbox.put_state(("catalogue", number), viewer.codec.encode("metrics.catalogue", update))

    def _send_table(self, viewer: Viewer, one: Subscription, host: LiveHost, table: msgspec.Raw) -> None:
        number = one.request.subscription
        payload = {"subscription": number, "host_id": host.id, "table": table}
        viewer.outbox.put_state(("table", number), viewer.codec.encode("processes.table", payload))

    def _send_events(self, viewer: Viewer, number: int, one: Subscription, events: list[Event]) -> None:
        if not events or events[-1].id <= one.last_event:
            return
        fresh = [event for event in events if event.id > one.last_event and self._sees_event(viewer, event)]
        one.last_event = events[-1].id
        if fresh:
            for part in event_parts([viewer.codec.encode_payload(event) for event in fresh]):
                payload = {"subscription": number, "epoch": self._events.epoch, "events": part}
                viewer.outbox.put_entry(viewer.codec.encode("events.appended", payload))

    def _sees_event(self, viewer: Viewer, event: Event) -> bool:
        view = viewer.view(Topic.EVENTS)
        if view.everything:
            return True
        host = self._hosts.find(event.host_id) if event.host_id else None
        return host is not None and view.sees(host)

    def rights_changed(self) -> None:
        """Roles or bindings changed: every person's socket goes on with the rights of now."""
        for viewer in self._viewers:
            if viewer.principal.kind is PrincipalKind.USER:
                viewer.principal = msgspec.structs.replace(viewer.principal, rights=self.rights_of(viewer.principal))
        self.recheck()

    def end_sessions(self, ids: Collection[str]) -> None:
        """Sessions are over: their sockets end."""
        for viewer in self._viewers:
            if viewer.principal.session_id in ids:
                viewer.ended.set()

    def sessions(self) -> set[str]:
        """The sessions that have sockets."""
        return {viewer.principal.session_id for viewer in self._viewers if viewer.principal.session_id}

    def programs(self) -> dict[str, Principal]:
        """The tokens that have sockets."""
        return {one.principal.token_id: one.principal for one in self._viewers if one.principal.token_id}

    def renew_program(self, token_id: str, principal: Principal | None) -> None:
        """The sockets of a token go on with the rights of now; None: they end."""
        for viewer in self._viewers:
            if viewer.principal.token_id != token_id:
                continue
            if principal is None:
                viewer.ended.set()
            else:
                viewer.principal = msgspec.structs.replace(viewer.principal, rights=principal.rights)

    def recheck(self) -> None:
        """Rights, labels or the time changed: end every subscription of what is not seen, or not allowed, any more."""
        for viewer in list(self._viewers):
            viewer.look_again()
            for number, one in list(viewer.subscriptions.items()):
                view = viewer.view(one.request.topic)
                allowed = view.everything or (
                    view.sees(one.host) if one.host is not None else view.rights.allows(view.permission)
                )
                if not allowed:
                    self.unsubscribe(viewer, number)
                    self._withdraw(viewer, number)

    def _withdraw(self, viewer: Viewer, number: int) -> None:
        """Say that a subscription is closed, and why."""
        problem = Problem(
            type=f"{TYPE_PREFIX}{ForbiddenError.code}",
            title="Forbidden",
            status=403,
            code="withdrawn",
            detail="You may not see this any more.",
            hint="Your rights, or the labels of the host, have changed.",
            subscription=number,
        )
        viewer.outbox.put_entry(viewer.codec.encode("problem", problem))

    async def _follow(self, viewer: Viewer, one: Subscription) -> None:
        number = one.request.subscription
        one.held = []
        self._followers[viewer, number] = one
        try:
            missed, after, resumed = await self._events.resume(one.request.after, one.request.epoch)
        except BaseException:
            self.unsubscribe(viewer, number)
            raise
        if viewer.subscriptions.get(number) is not one:
            return  # replaced or closed meanwhile
        self._confirm(viewer, one, after=after, resumed=resumed)
        held, one.held, one.last_event = one.held, None, after
        self._send_events(viewer, number, one, missed)
        self._send_events(viewer, number, one, held)
