"""A fleet in memory that answers as a server does: the client of every dashboard test. Nothing waits or sleeps."""

from __future__ import annotations

import asyncio
import fnmatch
import math
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

import msgspec

from cybercorp.client.inbox import ConnectionState, Update
from cybercorp.client.results import QueryResult
from cybercorp.core.clock import ManualClock
from cybercorp.core.errors import CyberCorpError, InvalidInputError, NotFoundError, UnauthenticatedError
from cybercorp.protocol.agents import Enrolment
from cybercorp.protocol.audit import AuditPage, AuditRecord
from cybercorp.protocol.events import Event, EventsPage, Severity
from cybercorp.protocol.hosts import FleetCounts, Host, HostSort, HostState, HostSummary, HostsWindow
from cybercorp.protocol.live import EventsUpdate, HostsUpdate, Subscribe, Subscribed, Topic
from cybercorp.protocol.logins import Account, ClientType, Tokens
from cybercorp.protocol.metrics import HostLatest, MetricKind, QueryAnswer, SeriesPoints
from cybercorp.protocol.passkeys import Ceremony
from cybercorp.protocol.processes import HostProcesses
from cybercorp.protocol.selectors import parse_host_selector
from cybercorp.protocol.users import User, UserKind
from cybercorp.tui.clients import Proof

START_MS = 1_800_000_000_000
_KEYS: dict[HostSort, Callable[[HostSummary], tuple[bool, float | str]]] = {
    HostSort.NAME: lambda row: (False, row.name),
    HostSort.STATE: lambda row: (False, {"offline": 0.0, "stale": 1.0, "online": 2.0}[row.state.value]),
    HostSort.CPU: lambda row: (row.cpu is None, row.cpu or 0.0),
    HostSort.MEMORY: lambda row: (row.memory is None, row.memory or 0.0),
    HostSort.DISK: lambda row: (row.disk is None, row.disk or 0.0),
    HostSort.NETWORK_RECEIVE: lambda row: (row.network_receive is None, row.network_receive or 0.0),
    HostSort.NETWORK_TRANSMIT: lambda row: (row.network_transmit is None, row.network_transmit or 0.0),
    HostSort.LOAD: lambda row: (row.load is None, row.load or 0.0),
    HostSort.SEEN: lambda row: (row.seen_at_ms is None, float(row.seen_at_ms or 0)),
}


def summary(number: int, now_ms: int = START_MS, **changes: object) -> HostSummary:
    """Host `number` of a fleet: every value follows from it, so that a picture never changes by itself."""
    swing = [round(100 + 90 * math.sin((number * 7 + step) / 5)) for step in range(30)]
    state = HostState.OFFLINE if number % 17 == 13 else HostState.STALE if number % 23 == 19 else HostState.ONLINE
    known = state is HostState.ONLINE
    row = HostSummary(
        id=f"host_{number:04d}",
        name=f"{('web', 'db', 'cache', 'queue')[number % 4]}-{number}",
        state=state,
        seen_at_ms=now_ms - (0 if known else 12_000 if state is HostState.STALE else 247_000),
        labels={"env": "prod" if number % 3 else "test", "team": ("shop", "core")[number % 2]},
        cpu=swing[-1] / 200 if known else None,
        memory=(number * 37 % 100) / 100 if known else None,
        disk=(number * 53 % 100) / 100,
        network_receive=float(number * 98_765 % 13_000_000) if known else None,
        network_transmit=float(number * 45_678 % 4_000_000) if known else None,
        load=(number * 13 % 160) / 20 if known else None,
        top_process=("java", "postgres", "redis-server", "rabbitmq")[number % 4] if known else None,
        top_process_cpu=(number * 31 % 400) / 100 if known else None,
        cpu_history=bytes(swing),
    )
    return msgspec.structs.replace(row, **changes)


def event(number: int, *, severity: Severity = Severity.INFO, time_ms: int | None = None, **changes: object) -> Event:
    """Event `number`, one every ten seconds before START_MS."""
    made = Event(
        id=number,
        time_ms=START_MS - 600_000 + number * 10_000 if time_ms is None else time_ms,
        kind="host.connected" if severity is Severity.INFO else "host.disconnected",
        severity=severity,
        message=f"Host web-{number} {'connected' if severity is Severity.INFO else 'fell silent'}.",
        host_id=f"host_{number:04d}",
        host=f"web-{number}",
    )
    return msgspec.structs.replace(made, **changes)


class FakeConnection:
    """A live connection: tests `push` updates, and see in `open` what is subscribed."""

    def __init__(self, client: FakeClient) -> None:
        self._client = client
        self._updates: asyncio.Queue[Update] = asyncio.Queue()
        self.open: dict[int, Subscribe] = {}
        self.log: list[Subscribe | int] = []

    async def __aenter__(self) -> Self:
        self._client.connection = self
        if self._client.reachable:
            self.push(ConnectionState(connected=True))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update:
        return await self._updates.get()

    def push(self, update: Update) -> None:
        self._updates.put_nowait(update)

    async def subscribe(self, request: Subscribe) -> None:
        self.open[request.subscription] = request
        self.log.append(request)
        if not self._client.reachable:
            return
        self.push(Subscribed(subscription=request.subscription, epoch="epoch", after=len(self._client.log)))
        if request.topic is Topic.HOSTS:
            self.send_hosts(request)

    async def unsubscribe(self, subscription: int) -> None:
        self.open.pop(subscription, None)
        self.log.append(subscription)

    def send_hosts(self, request: Subscribe | None = None) -> None:
        """A new picture of the fleet for whoever watches it."""
        for one in [request] if request is not None else self.following(Topic.HOSTS):
            self.push(HostsUpdate(subscription=one.subscription, window=self._client.window_of(one)))

    def send_events(self, *events: Event) -> None:
        for one in self.following(Topic.EVENTS):
            self.push(EventsUpdate(subscription=one.subscription, epoch="epoch", events=list(events)))

    def following(self, topic: Topic) -> list[Subscribe]:
        return [one for one in self.open.values() if one.topic is topic]

    def cut(self, reason: str = "The server cut the connection.", retry_in_s: float = 4.0) -> None:
        self._client.reachable = False
        self.push(ConnectionState(connected=False, reason=reason, retry_in_s=retry_in_s, code="unreachable"))

    async def restore(self) -> None:
        """The connection is back, with everything that was subscribed."""
        self._client.reachable = True
        self.push(ConnectionState(connected=True))
        for request in list(self.open.values()):
            await self.subscribe(request)


class FakeClient:
    """`rows` are the fleet and `log` its events; `failure` is raised by every call while it is set."""

    def __init__(self, rows: Sequence[HostSummary] = (), *, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock(now_ms=START_MS)
        self.rows = list(rows)
        self.log: list[Event] = []
        self.trail: list[AuditRecord] = []
        self.past: dict[int, list[HostSummary]] = {}
        self.failure: CyberCorpError | None = None
        self.reachable = True
        self.closed = False
        self.person: str | None = None  # who is logged in; None: the local owner, whose token is a given one
        self.log_in_possible = False
        self.calls: list[tuple[str, object]] = []
        self.gate = asyncio.Event()  # cleared: the store answers only when it is set
        self.gate.set()
        self.connection = FakeConnection(self)

    url = "http://127.0.0.1:8765"

    @property
    def hosts(self) -> FakeHosts:
        return FakeHosts(self)

    @property
    def metrics(self) -> FakeMetrics:
        return FakeMetrics(self)

    @property
    def processes(self) -> FakeProcesses:
        return FakeProcesses(self)

    @property
    def events(self) -> FakeEvents:
        return FakeEvents(self)

    @property
    def audit(self) -> FakeAudit:
        return FakeAudit(self)

    @property
    def agents(self) -> FakeAgents:
        return FakeAgents(self)

    @property
    def account(self) -> FakeAccount:
        return FakeAccount(self)

    @property
    def passkeys(self) -> FakePasskeys:
        return FakePasskeys(self)

    @property
    def kept_login(self) -> FakeKeptLogin:
        return FakeKeptLogin(self)

    def when_step_up(self, prove: Callable[[], Awaitable[Proof | None]]) -> None:
        self.prove = prove

    def connect_live(self) -> FakeConnection:
        return FakeConnection(self)

    async def close(self) -> None:
        self.closed = True

    def called(self, name: str, argument: object = None) -> None:
        self.calls.append((name, argument))
        if self.failure is not None:
            raise self.failure

    def window_of(self, request: Subscribe, rows: Sequence[HostSummary] | None = None) -> HostsWindow:
        selector = parse_host_selector(request.selector)
        found = [
            row
            for row in (self.rows if rows is None else rows)
            if selector.matches(row.name, row.labels, state=row.state.value, values={"cpu": row.cpu, "mem": row.memory})
        ]
        found.sort(key=lambda row: row.name)
        known = [row for row in found if not _KEYS[request.sort](row)[0]]
        unknown = [row for row in found if _KEYS[request.sort](row)[0]]
        known.sort(key=_KEYS[request.sort], reverse=request.descending)
        ordered = known + unknown
        rank = next((rank for rank, row in enumerate(ordered) if row.id == request.pinned), None)
        states = [row.state for row in ordered]
        return HostsWindow(
            timestamp_ms=self.clock.now_ms(),
            offset=request.offset,
            counts=FleetCounts(
                total=len(ordered),
                online=states.count(HostState.ONLINE),
                stale=states.count(HostState.STALE),
                offline=states.count(HostState.OFFLINE),
            ),
            rows=ordered[request.offset : request.offset + request.limit],
            pinned=None if rank is None else ordered[rank],
            pinned_rank=rank,
        )


class FakeHosts:
    def __init__(self, client: FakeClient) -> None:
        self._client = client

    async def get(self, host: str) -> Host:
        self._client.called("hosts.get", host)
        for row in self._client.rows:
            if host in (row.id, row.name):
                return Host(id=row.id, name=row.name, state=row.state, joined_at_ms=0, labels=row.labels, summary=row)
        raise NotFoundError(f"There is no host '{host}'.", hint="List them.", code="host_not_found")

    async def latest(self, host: str, at_ms: int | None = None) -> HostLatest:
        found = await self.get(host)
        return HostLatest(
            host=found.name, host_id=found.id, timestamp_ms=at_ms or self._client.clock.now_ms(), values=[]
        )

    async def window(
        self,
        selector: str | None = None,
        *,
        sort: HostSort | str = HostSort.NAME,
        descending: bool = False,
        offset: int = 0,
        limit: int = 100,
        pinned: str | None = None,
        at_ms: int | None = None,
    ) -> HostsWindow:
        self._client.called("hosts.window", at_ms)
        await self._client.gate.wait()
        request = Subscribe(
            subscription=0,
            topic=Topic.HOSTS,
            selector=selector,
            sort=HostSort(sort),
            descending=descending,
            offset=offset,
            limit=limit,
            pinned=pinned,
        )
        past = None
        if at_ms is not None:
            past = next((rows for since, rows in sorted(self._client.past.items(), reverse=True) if since <= at_ms), [])
        window = self._client.window_of(request, past)
        return window if at_ms is None else msgspec.structs.replace(window, timestamp_ms=at_ms)


class FakeMetrics:
    def __init__(self, client: FakeClient) -> None:
        self._client = client

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
        self._client.called("metrics.query", (metrics, hosts, since, until, step))
        step_ms = step or 10_000
        start = since - since % step_ms
        count = max(-(-(until - start) // step_ms), 1)
        series = [
            SeriesPoints(
                host=row.name,
                host_id=row.id,
                name="system.cpu.utilization",
                attributes={},
                unit="1",
                kind=MetricKind.GAUGE,
                values=[0.5 + 0.45 * math.sin((start // step_ms + index) / 4) for index in range(count)],
            )
            for row in self._client.rows
            if fnmatch.fnmatchcase(row.name, hosts)
        ]
        return QueryResult(
            QueryAnswer(start_ms=start, step_ms=step_ms, points=count, aggregation="avg", series=series[:20])
        )


class FakeProcesses:
    def __init__(self, client: FakeClient) -> None:
        self._client = client

    async def list(self, host: str, at_ms: int | None = None) -> HostProcesses:
        self._client.called("processes.list", host)
        raise NotFoundError("No processes are recorded then.", hint="Choose another time.")


class FakeEvents:
    def __init__(self, client: FakeClient) -> None:
        self._client = client

    async def list(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        kinds: Sequence[str] = (),
        host: str | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> EventsPage:
        self._client.called("events.list", before)
        found = [
            one
            for one in self._client.log
            if (after is None or one.id > after)
            and (before is None or one.id < before)
            and (since_ms is None or one.time_ms >= since_ms)
            and (until_ms is None or one.time_ms < until_ms)
            and (not kinds or one.kind in kinds)
            and (host is None or host in (one.host, one.host_id))
        ]
        return EventsPage(epoch="epoch", events=found[-limit:] if newest else found[:limit])


class FakeAudit:
    def __init__(self, client: FakeClient) -> None:
        self._client = client

    async def list(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        operations: Sequence[str] = (),
        actor: str | None = None,
        target: str | None = None,
        decision: str | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> AuditPage:
        self._client.called("audit.list", before)
        found = [
            one
            for one in self._client.trail
            if (after is None or one.id > after)
            and (before is None or one.id < before)
            and (until_ms is None or one.time_ms < until_ms)
        ]
        return AuditPage(records=found[-limit:] if newest else found[:limit])


class FakeAgents:
    def __init__(self, client: FakeClient) -> None:
        self._client = client

    async def create_enrolment(self, expires_in_s: int = 3600, count: int = 1) -> Enrolment:
        self._client.called("agents.create_enrolment", count)
        return Enrolment(
            tokens=["cce_0123456789abcdefghijklmnop"] * count, expires_at_ms=self._client.clock.now_ms() + 3_600_000
        )


class FakeAccount:
    """Takes the password `PASSWORD` of anybody, and for `ada` the code 123456."""

    PASSWORD = "four unrelated words"

    def __init__(self, client: FakeClient) -> None:
        self._client = client

    async def show(self) -> Account:
        name = self._client.person
        if name is None:
            return Account(kind="owner", name="the local owner")
        user = User(
            id="user_1",
            name=name,
            display_name="",
            kind=UserKind.PERSON,
            created_at_ms=START_MS,
            factors=["totp", "passkey"],
        )
        return Account(kind="user", name=name, user=user, session_id="session_1")

    async def login(
        self, name: str, password: str, code: str | None = None, client: ClientType = ClientType.LIBRARY
    ) -> Tokens:
        self._client.called("account.login", (name, client))
        if password != self.PASSWORD:
            raise UnauthenticatedError("The name or the password is wrong.", code="wrong_credentials")
        if name == "ada" and code is None:
            raise UnauthenticatedError("A second factor is needed.", hint="Give a code.", code="mfa_needed")
        if name == "ada" and code != "123456":
            raise UnauthenticatedError("This code is not right.", hint="Wait for the next one.", code="wrong_code")
        return tokens_of(name)

    async def end_replaced(self, session_id: str, tokens: Tokens) -> None:
        self._client.called("account.end_replaced", session_id)

    async def logout(self) -> None:
        self._client.called("account.logout", None)


class FakePasskeys:
    """The page shows `abcdefgh`."""

    def __init__(self, client: FakeClient) -> None:
        self._client = client

    async def begin_login(self, client: ClientType = ClientType.LIBRARY) -> Ceremony:
        self._client.called("passkeys.begin_login", client)
        return Ceremony(ticket="cch_ticket", secret="cch_secret", expires_in_s=300)

    async def finish_login(self, ceremony: Ceremony, code: str) -> Tokens:
        if code != "abcd-efgh":
            raise InvalidInputError("This is not the code of the page.", hint="Type it.", code="wrong_code")
        return tokens_of("ada")

    async def begin_step_up(self) -> Ceremony:
        return await self.begin_login()


class FakeKeptLogin:
    def __init__(self, client: FakeClient) -> None:
        self._client = client

    @property
    def possible(self) -> bool:
        return self._client.log_in_possible

    @property
    def user(self) -> str:
        return self._client.person or ""

    def keep(self, tokens: Tokens) -> str:
        self._client.person = tokens.user
        self._client.reachable = True
        return "session_0"

    def forget(self) -> None:
        self._client.person = None


def tokens_of(name: str) -> Tokens:
    return Tokens(access_token="a.b.c", expires_in_s=300, refresh_token="ccr_x", session_id="session_1", user=name)
