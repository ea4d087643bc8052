"""`Client`: the same methods as `AsyncClient`, without await, without an event loop and without a thread.

The calls drive the async code over a blocking transport (`calls.complete`): a command that asks one question loads
neither asyncio nor websockets. Only `live` runs a loop, in a thread of its own, while it is iterated.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cybercorp.client.accounts import Accounts
from cybercorp.client.agents import Agents
from cybercorp.client.audit import Audit
from cybercorp.client.calls import complete
from cybercorp.client.elevations import Elevations
from cybercorp.client.events import Events
from cybercorp.client.hosts import Hosts
from cybercorp.client.keys import Keys
from cybercorp.client.metrics import Metrics
from cybercorp.client.mfa import Mfa
from cybercorp.client.nouns import Nouns
from cybercorp.client.passkeys import Passkeys
from cybercorp.client.processes import Processes
from cybercorp.client.profiles import find_credential
from cybercorp.client.recordings import Recordings
from cybercorp.client.roles import Bindings, Roles
from cybercorp.client.servers import Server
from cybercorp.client.sessions import Sessions
from cybercorp.client.tokens import Tokens
from cybercorp.client.users import Users

if TYPE_CHECKING:
    from cybercorp.client.inbox import Update
    from cybercorp.protocol.logins import StepUp
    from cybercorp.protocol.passkeys import CeremonyCode
    from cybercorp.security.credentials import Credential


class Client:
    """A server's hosts, metrics, processes, events, agents, recordings, and its live updates.

        with Client() as fleet:
            for host in fleet.hosts.list(labels={"env": "prod"}):
                print(host.name, host.latest["cpu"])

    Finds the server as `AsyncClient` does, and raises the same errors. One client may be used by several threads.
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
        self.credential = credential or find_credential(url, token=token, profile=profile, data_dir=data_dir)
        self._timeout_s = timeout_s
        self._nouns = Nouns(self.credential, timeout_s=timeout_s, blocking=True)
        self.hosts = Hosts(self._nouns.hosts)
        self.metrics = Metrics(self._nouns.metrics)
        self.processes = Processes(self._nouns.processes)
        self.events = Events(self._nouns.events)
        self.agents = Agents(self._nouns.agents)
        self.recordings = Recordings(self._nouns.recordings)
        self.audit = Audit(self._nouns.audit)
        self.keys = Keys(self._nouns.keys)
        self.account = Accounts(self._nouns.account)
        self.users = Users(self._nouns.users)
        self.sessions = Sessions(self._nouns.sessions)
        self.mfa = Mfa(self._nouns.mfa)
        self.passkeys = Passkeys(self._nouns.passkeys)
        self.roles = Roles(self._nouns.roles)
        self.bindings = Bindings(self._nouns.bindings)
        self.elevations = Elevations(self._nouns.elevations)
        self.tokens = Tokens(self._nouns.tokens)
        self.server = Server(self._nouns.server)

    def when_step_up(self, prove: Callable[[], StepUp | CeremonyCode | None]) -> None:
        """What to do where the server wants proof again of who asks: `prove` gives it, or None to give up."""

        async def asked() -> StepUp | CeremonyCode | None:
            return prove()

        self._nouns.transport.on_step_up = asked

    @property
    def url(self) -> str:
        """The address of the server."""
        return self.credential.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        complete(self._nouns.transport.close())

    def live(
        self,
        *topics: str,
        host: str | None = None,
        selector: str | None = None,
        limit: int = 100,
        interval_ms: int = 1000,
        after: int | None = None,
        epoch: str | None = None,
        states: bool = False,
    ) -> Generator[Update, None, None]:
        """See `AsyncClient.live`.

        for update in fleet.live("events"):
            print(update.events)
        """
        # asyncio and websockets cost 90 ms to import, and most commands never look at anything live.
        from cybercorp.client.blocking_live import iterate_live

        return iterate_live(
            self.credential,
            topics,
            host=host,
            selector=selector,
            limit=limit,
            interval_ms=interval_ms,
            after=after,
            epoch=epoch,
            states=states,
            timeout_s=self._timeout_s,
        )
