"""`AsyncClient`: everything a program can ask a CyberCorp server, awaited."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import Self

from cybercorp.client.http import Prove
from cybercorp.client.inbox import ConnectionState, Update
from cybercorp.client.kept_logins import KeptLogin
from cybercorp.client.live import LiveConnection, subscriptions
from cybercorp.client.nouns import Nouns
from cybercorp.client.profiles import find_credential
from cybercorp.core.errors import AccessError, VersionMismatchError, error_classes
from cybercorp.protocol.live import Subscribed
from cybercorp.protocol.problems import Problem, error_of
from cybercorp.security.credentials import Credential


class AsyncClient:
    """A server's hosts, metrics, processes, events, agents, recordings, and its live updates.

        async with AsyncClient() as fleet:
            for host in await fleet.hosts.list("web-*"):
                print(host.name, host.latest["cpu"])

    Without arguments it finds the server by itself: `CYBERCORP_URL` and `CYBERCORP_TOKEN`, else the current profile,
    else the one that runs on this machine with the data in `data_dir`. Nothing is sent until the first call. Every call
    raises a class of `cybercorp.core.errors`; UnreachableError where nobody answers within `timeout_s`.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        profile: str | None = None,
        data_dir: Path | None = None,
        timeout_s: float = 10.0,
        credential: Credential | None = None,
    ) -> None:
        """`credential` is one that was found before; the other ways to name a server are not looked at then."""
        self.credential = credential or find_credential(url, token=token, profile=profile, data_dir=data_dir)
        self._timeout_s = timeout_s
        self._nouns = Nouns(self.credential, timeout_s=timeout_s, blocking=False)
        self.hosts = self._nouns.hosts
        self.metrics = self._nouns.metrics
        self.processes = self._nouns.processes
        self.events = self._nouns.events
        self.agents = self._nouns.agents
        self.recordings = self._nouns.recordings
        self.audit = self._nouns.audit
        self.keys = self._nouns.keys
        self.account = self._nouns.account
        self.users = self._nouns.users
        self.sessions = self._nouns.sessions
        self.mfa = self._nouns.mfa
        self.passkeys = self._nouns.passkeys
        self.roles = self._nouns.roles
        self.bindings = self._nouns.bindings
        self.elevations = self._nouns.elevations
        self.tokens = self._nouns.tokens
        self.server = self._nouns.server

    def when_step_up(self, prove: Prove) -> None:
        """What to do where the server wants proof again of who asks: `prove` gives it, or None to give up."""
        self._nouns.transport.on_step_up = prove

    @property
    def kept_login(self) -> KeptLogin:
        """The log-in of this client's profile."""
        return KeptLogin(self.credential, self._nouns.transport.authorization)

    @property
    def url(self) -> str:
        """The address of the server."""
        return self.credential.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._nouns.transport.close()

    def connect_live(self) -> LiveConnection:
        """One socket for many subscriptions, for programs that change what they look at; see `LiveConnection`."""
        return LiveConnection(
            self.credential, timeout_s=self._timeout_s, authorization=self._nouns.transport.authorization
        )

    async def live(
        self,
        *topics: str,
        host: str | None = None,
        selector: str | None = None,
        limit: int = 100,
        interval_ms: int = 1000,
        after: int | None = None,
        epoch: str | None = None,
        states: bool = False,
    ) -> AsyncGenerator[Update, None]:
        """Updates of these topics for ever: `hosts`, `host/metrics`, `host/processes` (these need `host`), `events`.

            async for update in fleet.live("events"):
                for event in update.events:
                    print(event.time_ms, event.host, event.message)

        Reconnects and resumes by itself; `states=True` also yields `ConnectionState` and `Subscribed`. What cannot get
        better is raised: a refused token, another version, a subscription that the server refuses.
        """
        wanted = subscriptions(
            topics, host=host, selector=selector, limit=limit, interval_ms=interval_ms, after=after, epoch=epoch
        )
        async with self.connect_live() as connection:
            for request in wanted:
                await connection.subscribe(request)
            async for update in connection:
                check_update(update)
                if states or not isinstance(update, ConnectionState | Subscribed):
                    yield update


def check_update(update: Update) -> None:
    """Raise what an update says that no reconnect mends."""
    if isinstance(update, Problem):
        raise error_of(update)
    if isinstance(update, ConnectionState) and not update.connected:
        made = error_classes().get(update.code)
        if made is not None and issubclass(made, AccessError | VersionMismatchError):
            raise made(update.reason)
