"""One sitting in front of the dashboard: the client, its live connection, the instant, and who looks at what.

Knows no Textual. The app runs it and draws; screens say with `follow` which topics they want, and get their updates.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from cybercorp.client.inbox import ConnectionState, Update
from cybercorp.core.clock import Clock, SystemClock
from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.live import EventsUpdate, HostsUpdate, Subscribe, Subscribed, Topic
from cybercorp.protocol.logins import Account
from cybercorp.tui.clients import Connection, FleetClient, Proof
from cybercorp.tui.state.connection import ConnectionModel
from cybercorp.tui.state.instant import InstantModel

_RETRY_S = 2.0
_EVENTS = 1


class Viewer(Protocol):
    """A screen, as the session sees it."""

    def take_update(self, update: Update) -> None:
        """An update of a topic that this viewer follows, or events (which every viewer in front gets)."""

    def connection_changed(self) -> None:
        """The connection came or went; `Session.connection` says how it stands."""


class Session:
    """`make_client` is called once, in a thread, after the first frame is painted."""

    def __init__(
        self,
        make_client: Callable[[], FleetClient],
        clock: Clock | None = None,
        *,
        at_ms: int | None = None,
        recorded: tuple[int, int] | None = None,
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.instant = InstantModel(self.clock, recorded=recorded)
        if at_ms is not None:
            self.instant.go(at_ms)
        self.connection = ConnectionModel(self.clock)
        self.client: FleetClient | None = None
        self.account: Account | None = None
        self.prove: Callable[[], Awaitable[Proof | None]] | None = None
        self._make_client = make_client
        self._live: Connection | None = None
        self._front: Viewer | None = None
        self._wanted: dict[int, tuple[Viewer, Subscribe]] = {}
        self._numbers: dict[tuple[int, str], int] = {}
        self._count = itertools.count(_EVENTS + 1)
        self._position: tuple[str, int] | None = None
        self._asking: asyncio.Future[None] | None = None
        self._retry = asyncio.Event()
        self._ready = asyncio.Event()

    @property
    def front(self) -> Viewer | None:
        """The viewer whose topics are subscribed."""
        return self._front

    async def run(self) -> None:
        """Make the client, connect, and hand out updates until cancelled. It recovers by itself."""
        try:
            client = await self._find_client()
            while True:
                async with client.connect_live() as live:
                    await self._serve(live)
        finally:
            self._live = None
            if self._asking is not None:
                self._asking.cancel()
            if self.client is not None:
                await self.client.close()

    async def ready(self) -> FleetClient:
        """The client, as soon as there is one."""
        await self._ready.wait()
        assert self.client is not None
        return self.client

    def retry(self) -> None:
        """Try to connect now instead of waiting."""
        if not self.connection.is_open:
            self._retry.set()

    def reconnect(self) -> None:
        """Connect anew, also where it is open: somebody else is logged in now."""
        self.account = None
        self._retry.set()

    async def follow(self, viewer: Viewer, name: str, request: Subscribe | None) -> int:
        """Open, replace or (None) end a viewer's subscription of this name; its number.

        The session chooses the number; what the request says about it is ignored. It is open while the viewer is in
        front.
        """
        number = self._numbers.setdefault((id(viewer), name), next(self._count))
        if request is None:
            if self._wanted.pop(number, None) is not None and self._live is not None:
                await self._live.unsubscribe(number)
            return number
        wanted = msgspec.structs.replace(request, subscription=number)
        known = self._wanted.get(number)
        if known is None or known[1] != wanted:
            self._wanted[number] = (viewer, wanted)
            if self._live is not None and viewer is self._front:
                await self._live.subscribe(wanted)
        return number

    async def bring_forward(self, viewer: Viewer) -> None:
        """This viewer is looked at now; nobody looks at the others, so their topics are closed."""
        if viewer is self._front:
            return
        self._front = viewer
        self.connection.expects_updates = False  # until this viewer says that something is due
        live = self._live
        if live is None:
            return
        for number, (owner, request) in list(self._wanted.items()):
            if owner is viewer:
                await live.subscribe(request)
            else:
                await live.unsubscribe(number)

    async def forget(self, viewer: Viewer) -> None:
        """This viewer is gone."""
        for number in [one for one, (owner, _) in self._wanted.items() if owner is viewer]:
            del self._wanted[number]
            if self._live is not None:
                await self._live.unsubscribe(number)
        self._numbers = {key: number for key, number in self._numbers.items() if key[0] != id(viewer)}
        if self._front is viewer:
            self._front = None

    async def _find_client(self) -> FleetClient:
        while True:
            try:
                # Imports the HTTP library: a third of a second in which the screen must stay alive.
                self.client = await asyncio.to_thread(self._make_client)
            except CyberCorpError as error:
                self.connection.fail(error, _RETRY_S)
                self._tell()
                await self._wait_for_retry(_RETRY_S)
            else:
                if self.prove is not None:
                    self.client.when_step_up(self.prove)
                self._ready.set()
                return self.client

    async def _serve(self, live: Connection) -> None:
        """Updates of one live connection until a person asks for a new one."""
        epoch, after = self._position or (None, None)
        await live.subscribe(Subscribe(subscription=_EVENTS, topic=Topic.EVENTS, epoch=epoch, after=after))
        for owner, request in list(self._wanted.values()):
            if owner is self._front:
                await live.subscribe(request)
        self._live = live
        self._retry.clear()
        updates = asyncio.create_task(self._hand_out(live))
        retry = asyncio.create_task(self._retry.wait())
        try:
            await asyncio.wait({updates, retry}, return_when=asyncio.FIRST_COMPLETED)
            if updates.done():
                updates.result()
        finally:
            self._live = None
            for task in (updates, retry):
                task.cancel()

    async def _hand_out(self, live: Connection) -> None:
        async for update in live:
            self.take(update)

    def take(self, update: Update) -> None:
        """Hand one update to whom it belongs."""
        if isinstance(update, ConnectionState):
            if update.connected:
                self.connection.opened()
                self._asking = asyncio.ensure_future(self._ask_who())
            else:
                self.connection.lost(update.reason, update.retry_in_s, update.code)
            self._tell()
            return
        self.connection.heard()
        if isinstance(update, HostsUpdate):
            self.instant.hear_clock(update.window.timestamp_ms)
        number = update.subscription or 0
        if number == _EVENTS:
            self._remember(update)
            if self._front is not None:
                self._front.take_update(update)
            return
        owner, _ = self._wanted.get(number, (None, None))
        if owner is not None and owner is self._front:
            owner.take_update(update)

    async def _ask_who(self) -> None:
        """Who this is, for the header, which says it with the next second; where it cannot be told it does without."""
        if self.client is not None:
            with contextlib.suppress(CyberCorpError):
                self.account = await self.client.account.show()

    def _remember(self, update: Update) -> None:
        """Where the log of events stands, so that another connection goes on from there."""
        if isinstance(update, EventsUpdate) and update.events:
            self._position = (update.epoch, update.events[-1].id)
        elif isinstance(update, Subscribed) and update.after is not None:
            self._position = (update.epoch, update.after)

    def _tell(self) -> None:
        if self._front is not None:
            self._front.connection_changed()

    async def _wait_for_retry(self, wait_s: float) -> None:
        self._retry.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._retry.wait()
        except TimeoutError:
            pass
