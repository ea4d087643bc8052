"""The session: one client, one connection, topics only for who is in front."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cybercorp.client.inbox import Update
from cybercorp.core.errors import UnreachableError
from cybercorp.protocol.live import EventsUpdate, HostsUpdate, Subscribe, Topic
from cybercorp.tui.session import Session
from cybercorp.tui.state.connection import Phase
from tests.unit.tui.fake_client import FakeClient, event, summary

HOSTS = Subscribe(subscription=0, topic=Topic.HOSTS)


class Watcher:
    """A viewer that remembers what it was given."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.changes = 0
        self.came = asyncio.Event()

    def take_update(self, update: Update) -> None:
        self.updates.append(update)
        self.came.set()

    def connection_changed(self) -> None:
        self.changes += 1
        self.came.set()

    async def until_changed(self, changes: int) -> None:
        async with asyncio.timeout(10):
            while self.changes < changes:
                self.came.clear()
                await self.came.wait()

    async def until(self, kind: type) -> None:
        async with asyncio.timeout(10):
            while not any(isinstance(one, kind) for one in self.updates):
                self.came.clear()
                await self.came.wait()


@asynccontextmanager
async def running(client: FakeClient) -> AsyncIterator[tuple[Session, Watcher]]:
    session, viewer = Session(lambda: client, client.clock), Watcher()
    await session.bring_forward(viewer)
    task = asyncio.create_task(session.run())
    try:
        async with asyncio.timeout(10):
            await session.ready()
        yield session, viewer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_updates_go_to_the_viewer_in_front() -> None:
    """What a screen follows comes to it, and events come to whoever is in front."""
    client = FakeClient([summary(1)])
    async with running(client) as (session, viewer):
        await session.follow(viewer, "hosts", HOSTS)
        await viewer.until(HostsUpdate)
        client.connection.send_events(event(1))
        await viewer.until(EventsUpdate)
        assert session.connection.phase is Phase.OPEN


async def test_only_the_front_is_subscribed() -> None:
    """A screen below another costs nothing, and gets its topics back when it comes forward."""
    client = FakeClient([summary(1)])
    async with running(client) as (session, viewer):
        await session.follow(viewer, "hosts", HOSTS)
        await viewer.until(HostsUpdate)
        other = Watcher()
        await session.follow(other, "one", Subscribe(subscription=0, topic=Topic.METRICS, host="web-1"))
        assert [one.topic for one in client.connection.open.values()] == [Topic.EVENTS, Topic.HOSTS]
        await session.bring_forward(other)
        assert [one.topic for one in client.connection.open.values()] == [Topic.EVENTS, Topic.METRICS]
        await session.forget(other)
        await session.bring_forward(viewer)
        assert [one.topic for one in client.connection.open.values()] == [Topic.EVENTS, Topic.HOSTS]


async def test_the_same_request_is_sent_once() -> None:
    """Asking again for what is open sends nothing; something else replaces it under the same number."""
    client = FakeClient([summary(1)])
    async with running(client) as (session, viewer):
        number = await session.follow(viewer, "hosts", HOSTS)
        await viewer.until(HostsUpdate)
        sent = len(client.connection.log)
        assert await session.follow(viewer, "hosts", HOSTS) == number
        assert len(client.connection.log) == sent
        changed = Subscribe(subscription=0, topic=Topic.HOSTS, offset=10)
        assert await session.follow(viewer, "hosts", changed) == number
        assert len(client.connection.log) == sent + 1


async def test_a_factory_that_fails_is_tried_again() -> None:
    """No server is known yet: said with its hint, and tried again when a person asks."""
    client, tries = FakeClient(), []

    def make() -> FakeClient:
        tries.append(1)
        if len(tries) == 1:
            raise UnreachableError("No server is known.", hint="Start one with: cybercorp up.")
        return client

    session, viewer = Session(make, client.clock), Watcher()
    await session.bring_forward(viewer)
    task = asyncio.create_task(session.run())
    async with asyncio.timeout(10):
        while session.connection.phase is not Phase.FAILED:
            await viewer.came.wait()
            viewer.came.clear()
            await asyncio.sleep(0)
        assert session.connection.hint == "Start one with: cybercorp up."
        session.retry()
        await session.ready()
    assert len(tries) == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert client.closed


async def test_connecting_again_by_hand_goes_on_with_the_events() -> None:
    """A new connection asks for the events after the last one that was seen."""
    client = FakeClient()
    async with running(client) as (session, viewer):
        await viewer.until(object)
        client.connection.send_events(event(7))
        await viewer.until(EventsUpdate)
        first = client.connection
        viewer.changes = 0
        first.cut()
        await viewer.until_changed(1)
        client.reachable = True
        session.retry()
        await viewer.until_changed(2)
        opened = client.connection.following(Topic.EVENTS)[0]
        assert (opened.after, opened.epoch) == (7, "epoch")
