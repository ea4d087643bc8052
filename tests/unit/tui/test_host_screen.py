"""The host screen in its place: subscriptions, keys from the registry, stale and replayed pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import msgspec
from textual.app import App
from textual.pilot import Pilot

from cybercorp.client.inbox import ConnectionState, Update
from cybercorp.core.clock import ManualClock
from cybercorp.protocol.agents import Enrolment
from cybercorp.protocol.events import EventsPage
from cybercorp.protocol.live import Subscribe, Topic
from cybercorp.protocol.problems import Problem
from cybercorp.tui.actions import Place, bindings_of
from cybercorp.tui.screens.host import HostScreen
from cybercorp.tui.session import Session
from cybercorp.tui.widgets.process_details import ProcessDetails
from tests.unit.tui.host_calls import HOST_ID, HostCalls
from tests.unit.tui.host_rows import HostRows
from tests.unit.tui.process_tables import table_of
from tests.unit.tui.test_host_board import TABLE, found


class Line:
    """A live connection whose updates the test writes."""

    def __init__(self) -> None:
        self.open: dict[int, Subscribe] = {}
        self.updates: asyncio.Queue[Update] = asyncio.Queue()

    async def subscribe(self, request: Subscribe) -> None:
        self.open[request.subscription] = request

    async def unsubscribe(self, subscription: int) -> None:
        self.open.pop(subscription, None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update:
        return await self.updates.get()

    def topics(self) -> set[Topic]:
        return {one.topic for one in self.open.values()}

    def number(self, topic: Topic) -> int:
        return next(number for number, one in self.open.items() if one.topic is topic)


class Client:
    """A fleet client with one host."""

    url = "http://127.0.0.1:8765"

    def __init__(self) -> None:
        self.calls = HostCalls(HostRows(sensors=True))
        self.line = Line()

    @property
    def hosts(self) -> HostCalls:
        return self.calls

    metrics = processes = hosts

    @property
    def events(self) -> Client:
        return self

    agents = events

    async def list(self, **options: object) -> EventsPage:
        return EventsPage(epoch="e", events=[])

    async def create_enrolment(self, expires_in_s: int = 3600, count: int = 1) -> Enrolment:
        raise NotImplementedError

    @asynccontextmanager
    async def connect_live(self) -> AsyncIterator[Line]:
        yield self.line

    async def close(self) -> None:
        pass


class HostApp(App[None]):
    """As much of the dashboard as its host screen needs."""

    BINDINGS = bindings_of(Place.EVERYWHERE)
    server_name = "test"
    notice = ""
    ascii_glyphs = False

    def __init__(self, client: Client, clock: ManualClock) -> None:
        super().__init__()
        self.session = Session(lambda: client, clock)  # type: ignore[arg-type, return-value]
        self.host = HostScreen(HOST_ID)

    def playing_changed(self) -> None:
        pass

    def on_mount(self) -> None:
        self.push_screen(self.host)
        self.run_worker(self.session.run(), group="session")

    async def action_back(self) -> None:
        screen = self.screen
        if isinstance(screen, HostScreen) and screen.step_back():
            return
        await self.pop_screen()


class Stage:
    """A running host screen and the hands of the test."""

    def __init__(self, app: HostApp, client: Client, clock: ManualClock, pilot: Pilot[None]) -> None:
        self.app, self.client, self.clock, self.pilot = app, client, clock, pilot
        self.screen = app.host

    async def send(self, update: Update) -> None:
        await self.client.line.updates.put(update)
        await self.settle()

    async def seconds(self, count: int, *, processes: bool = True) -> None:
        """Let the host send for some seconds."""
        calls, line = self.client.calls, self.client.line
        number = line.number(Topic.METRICS)
        await line.updates.put(msgspec.structs.replace(calls.catalogue(), subscription=number))
        for _ in range(count):
            self.clock.advance(1.0)
            await line.updates.put(msgspec.structs.replace(calls.row(self.clock.now_ms()), subscription=number))
            if processes and Topic.PROCESSES in line.topics():
                table = msgspec.structs.replace(TABLE, timestamp_ms=self.clock.now_ms())
                await line.updates.put(
                    msgspec.structs.replace(calls.table(table), subscription=line.number(Topic.PROCESSES))
                )
        await self.settle()

    def shows_details(self) -> bool:
        return isinstance(self.app.screen, ProcessDetails)

    async def settle(self) -> None:
        for _ in range(4):
            await self.pilot.pause()

    async def tick(self, seconds: float = 1.0) -> None:
        self.clock.advance(seconds)
        self.screen.tick()
        await self.settle()


@asynccontextmanager
async def staged(size: tuple[int, int] = (120, 40)) -> AsyncIterator[Stage]:
    clock = ManualClock()
    client = Client()
    app = HostApp(client, clock)
    async with app.run_test(size=size) as pilot:
        stage = Stage(app, client, clock, pilot)
        await stage.send(ConnectionState(connected=True))
        await stage.seconds(3)
        yield stage


async def test_it_subscribes_to_its_host_only() -> None:
    """Metrics and processes of this host are followed, nothing else."""
    async with staged() as stage:
        requests = [one for one in stage.client.line.open.values() if one.topic is not Topic.EVENTS]
        assert {one.topic for one in requests} == {Topic.METRICS, Topic.PROCESSES}
        assert {one.host for one in requests} == {HOST_ID}
        assert found(stage.app, "web-1")
        assert found(stage.app, "Debian GNU/Linux 12")
        assert found(stage.app, "env=prod")
        assert found(stage.app, "LIVE")
        assert found(stage.app, "Processes 4")


async def test_the_past_is_not_watched() -> None:
    """At a past instant nobody needs live processes, so the agent is left in peace; live watches again."""
    async with staged() as stage:
        stage.client.calls.past[stage.clock.now_ms() - 30_000] = table_of(
            (9, 1, "culprit", 2.0, 1), at_ms=stage.clock.now_ms() - 30_000, partial=True
        )
        stage.screen.go_to(stage.clock.now_ms() - 30_000)
        await stage.settle()
        assert Topic.PROCESSES not in stage.client.line.topics()
        assert Topic.METRICS in stage.client.line.topics()
        assert found(stage.app, "culprit")
        await stage.pilot.press("l")
        await stage.settle()
        assert Topic.PROCESSES in stage.client.line.topics()
        assert not found(stage.app, "culprit")


async def test_a_host_that_falls_silent_is_stale() -> None:
    """Without rows the picture stays, dimmed, with a growing age; the next row makes it live."""
    async with staged() as stage:
        for _ in range(7):
            await stage.tick()
        assert stage.screen.silent_s() == 7
        assert found(stage.app, "STALE 7 s")
        assert stage.screen.board.has_class("-stale")
        assert found(stage.app, "CPU 42%")
        await stage.seconds(1)
        await stage.tick(0.1)
        assert not stage.screen.board.has_class("-stale")
        assert found(stage.app, "LIVE")


async def test_a_lost_server_keeps_the_picture_and_recovers() -> None:
    """The reason is said, the last numbers stay, and what was missed is asked for after the reconnect."""
    async with staged() as stage:
        asked = [what for what, _ in stage.client.calls.asked].count("query")
        await stage.send(ConnectionState(connected=False, reason="Connection refused.", retry_in_s=2.0))
        assert stage.screen.board.has_class("-stale")
        assert found(stage.app, "CPU 42%")
        await stage.send(ConnectionState(connected=True))
        await stage.seconds(1)
        assert not stage.screen.board.has_class("-stale")
        assert [what for what, _ in stage.client.calls.asked].count("query") > asked


async def test_a_refused_subscription_is_shown() -> None:
    """A problem of the server stands where the numbers would be."""
    async with staged() as stage:
        stage.screen.board.view.live.timestamp_ms = None
        problem = Problem(
            type="urn:x",
            title="x",
            status=404,
            code="host_not_found",
            detail="There is no host 'web-9'.",
            hint="Did you mean web-1?",
            subscription=stage.client.line.number(Topic.METRICS),
        )
        await stage.send(problem)
        assert found(stage.app, "There is no host 'web-9'.")


async def test_the_keys_of_the_registry_work() -> None:
    """Filter, tree, sort, panels, enlarge and details answer their keys; escape undoes."""
    async with staged() as stage:
        press = stage.pilot.press
        model = stage.screen.board.view.processes
        await press("T")
        assert model.tree
        await press("M")
        assert model.sort.value == "rss"
        await press("greater_than_sign")
        assert model.sort.value != "rss"
        await press("2")
        await stage.settle()
        assert found(stage.app, "all panels")
        assert not found(stage.app, "Network")
        await press("escape")
        await stage.settle()
        assert found(stage.app, "Network")
        await press("slash", *"java")
        await press("enter")
        await stage.settle()
        assert len(model.rows) == 2  # java and the parent it hangs on
        await press("escape")
        assert not model.filter
        await press("enter")
        await stage.settle()
        assert stage.shows_details()
        await press("escape")
        assert not stage.shows_details()
        await press("p")
        await stage.settle()
        assert stage.screen.board.grid.shown.page == 1


async def test_it_works_at_eighty_by_twenty_four() -> None:
    """CPU, memory and processes are visible with header, time bar and keys around them."""
    async with staged((80, 24)) as stage:
        assert found(stage.app, "CPU 42%")
        assert found(stage.app, "Memory 20.4 / 32.0 GiB")
        assert found(stage.app, "Processes 4")
        assert found(stage.app, "java")
        assert found(stage.app, "more panels 1/")


async def test_many_rows_wait_for_the_next_paint() -> None:
    """Rows that arrive faster than the screen paints are all kept in the history."""
    async with staged() as stage:
        await stage.seconds(60)
        metrics = stage.screen.board.view.live
        track = metrics.track(metrics.catalogue.cpu)
        assert track is not None
        assert len(track) >= 60
