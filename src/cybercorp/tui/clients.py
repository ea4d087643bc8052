"""What the dashboard asks of a client: `AsyncClient` has it, and so has the in-memory fleet of the tests.

Protocols, so that the dashboard paints its first frame before an HTTP library is imported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, Self

from cybercorp.client.inbox import Update
from cybercorp.client.results import QueryResult
from cybercorp.protocol.agents import Enrolment
from cybercorp.protocol.audit import AuditPage
from cybercorp.protocol.events import EventsPage
from cybercorp.protocol.hosts import Host, HostSort, HostsWindow
from cybercorp.protocol.live import Subscribe
from cybercorp.protocol.logins import Account, ClientType, StepUp, Tokens
from cybercorp.protocol.metrics import HostLatest
from cybercorp.protocol.passkeys import Ceremony, CeremonyCode
from cybercorp.protocol.processes import HostProcesses


class HostCalls(Protocol):
    async def get(self, host: str) -> Host: ...

    async def latest(self, host: str, at_ms: int | None = None) -> HostLatest: ...

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
    ) -> HostsWindow: ...


class MetricCalls(Protocol):
    async def query(
        self,
        *metrics: str,
        hosts: str,
        since: int,
        until: int,
        step: int | None = None,
        points: int | None = None,
        group: str | None = None,
    ) -> QueryResult: ...


class ProcessCalls(Protocol):
    async def list(self, host: str, at_ms: int | None = None) -> HostProcesses: ...


class EventCalls(Protocol):
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
    ) -> EventsPage: ...


class AuditCalls(Protocol):
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
    ) -> AuditPage: ...


class AgentCalls(Protocol):
    async def create_enrolment(self, expires_in_s: int = 3600, count: int = 1) -> Enrolment: ...


class AccountCalls(Protocol):
    async def show(self) -> Account: ...

    async def login(
        self, name: str, password: str, code: str | None = None, client: ClientType = ClientType.LIBRARY
    ) -> Tokens: ...

    async def end_replaced(self, session_id: str, tokens: Tokens) -> None: ...

    async def logout(self) -> None: ...


class PasskeyCalls(Protocol):
    async def begin_login(self, client: ClientType = ClientType.LIBRARY) -> Ceremony: ...

    async def finish_login(self, ceremony: Ceremony, code: str) -> Tokens: ...

    async def begin_step_up(self) -> Ceremony: ...


class KeptLoginCalls(Protocol):
    @property
    def possible(self) -> bool: ...

    @property
    def user(self) -> str: ...

    def keep(self, tokens: Tokens) -> str: ...

    def forget(self) -> None: ...


Proof = StepUp | CeremonyCode


class Connection(Protocol):
    """A `LiveConnection`."""

    async def subscribe(self, request: Subscribe) -> None: ...

    async def unsubscribe(self, subscription: int) -> None: ...

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> Update: ...


class FleetClient(Protocol):
    """An `AsyncClient`."""

    @property
    def url(self) -> str: ...

    @property
    def hosts(self) -> HostCalls: ...

    @property
    def metrics(self) -> MetricCalls: ...

    @property
    def processes(self) -> ProcessCalls: ...

    @property
    def events(self) -> EventCalls: ...

    @property
    def audit(self) -> AuditCalls: ...

    @property
    def agents(self) -> AgentCalls: ...

    @property
    def account(self) -> AccountCalls: ...

    @property
    def passkeys(self) -> PasskeyCalls: ...

    @property
    def kept_login(self) -> KeptLoginCalls: ...

    def when_step_up(self, prove: Callable[[], Awaitable[Proof | None]]) -> None: ...

    def connect_live(self) -> AbstractAsyncContextManager[Connection]: ...

    async def close(self) -> None: ...
