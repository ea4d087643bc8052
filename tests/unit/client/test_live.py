"""The live connection against a server that cuts, refuses, restarts and floods."""

import asyncio
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from cybercorp import AsyncClient, Client
from cybercorp.client.backoff import Backoff
from cybercorp.client.inbox import ConnectionState, Update
from cybercorp.client.live import LiveConnection, subscriptions
from cybercorp.core.errors import InvalidInputError, NotFoundError, UnauthenticatedError, VersionMismatchError
from cybercorp.protocol.events import Event, Severity
from cybercorp.protocol.hosts import FleetCounts, HostsWindow
from cybercorp.protocol.live import (
    EventsUpdate,
    HostsUpdate,
    MetricsUpdate,
    Subscribe,
    Subscribed,
    Topic,
    Unsubscribe,
)
from cybercorp.protocol.problems import Problem
from cybercorp.security.credentials import Credential
from tests.fakes.server import FakeServer

DEADLINE_S = 10


def _connection(server: FakeServer) -> LiveConnection:
    quick = Backoff(first_s=0.01, cap_s=0.05)
    return LiveConnection(Credential(url=server.url, token="cco_x"), timeout_s=5, backoff=quick)


async def _next(connection: LiveConnection, kind: type[Update]) -> Any:
    """The next update of this kind; others on the way are passed over."""
    async with asyncio.timeout(DEADLINE_S):
        async for update in connection:
            if isinstance(update, kind):
                return update
    raise AssertionError("the connection ended")


async def _state(connection: LiveConnection, *, connected: bool) -> ConnectionState:
    while True:
        state: ConnectionState = await _next(connection, ConnectionState)
        if state.connected is connected:
            return state


async def _wait_for(server: FakeServer, condition: Any) -> None:
    await asyncio.to_thread(server.wait_for, condition)


def _subscribes(server: FakeServer) -> list[Subscribe]:
    return [payload for _, payload in server.viewer_messages if isinstance(payload, Subscribe)]


def _window(subscription: int, at: int = 1) -> HostsUpdate:
    window = HostsWindow(timestamp_ms=at, offset=0, counts=FleetCounts(total=3), rows=[])
    return HostsUpdate(subscription=subscription, window=window)


def _events(subscription: int, *ids: int, epoch: str = "e1") -> EventsUpdate:
    events = [Event(id=one, time_ms=0, kind="k", severity=Severity.INFO, message="m") for one in ids]
    return EventsUpdate(subscription=subscription, epoch=epoch, events=events)


async def test_updates_arrive_typed_and_the_token_goes_in_a_header() -> None:
    """Subscribe, receive, and never a token in the address."""
    with FakeServer() as server:
        async with _connection(server) as connection:
            await connection.subscribe(Subscribe(subscription=1, topic=Topic.HOSTS))
            assert (await _next(connection, ConnectionState)).connected
            await _wait_for(server, lambda: _subscribes(server))
            await asyncio.to_thread(server.send, "hosts.window", _window(1))
            assert await _next(connection, HostsUpdate) == _window(1)
            assert connection.connected
    assert server.tokens == ["cco_x"]


async def test_after_a_cut_every_subscription_is_opened_again() -> None:
    """The state says why and when; then the same numbers are subscribed, without those that were closed."""
    with FakeServer() as server:
        async with _connection(server) as connection:
            for number in (1, 2):
                await connection.subscribe(Subscribe(subscription=number, topic=Topic.HOSTS, offset=number))
            await connection.unsubscribe(1)
            await connection.subscribe(Subscribe(subscription=2, topic=Topic.HOSTS, offset=50))
            await _state(connection, connected=True)
            await _wait_for(server, lambda: _subscribes(server))
            server.viewer_messages.clear()
            await asyncio.to_thread(server.cut)
            state = await _state(connection, connected=False)
            assert state.reason
            assert state.retry_in_s is not None
            await _state(connection, connected=True)
            await _wait_for(server, lambda: _subscribes(server))
            assert [(one.subscription, one.offset) for one in _subscribes(server)] == [(2, 50)]


async def test_a_replaced_subscription_is_sent_at_once() -> None:
    """Scrolling the fleet is one message on the open socket."""
    with FakeServer() as server:
        async with _connection(server) as connection:
            await _state(connection, connected=True)
            await connection.subscribe(Subscribe(subscription=1, topic=Topic.HOSTS, offset=0))
            await connection.subscribe(Subscribe(subscription=1, topic=Topic.HOSTS, offset=100))
            await connection.unsubscribe(1)
            await _wait_for(server, lambda: len(server.viewer_messages) == 3)
            assert [one.offset for one in _subscribes(server)] == [0, 100]
            assert server.viewer_messages[-1][1] == Unsubscribe(subscription=1)


async def test_events_resume_after_the_last_one_that_came() -> None:
    """Epoch and offset are shown to the server after a cut; nothing is asked twice, nothing is left out."""
    with FakeServer() as server:
        async with _connection(server) as connection:
            await connection.subscribe(Subscribe(subscription=1, topic=Topic.EVENTS))
            await _wait_for(server, lambda: _subscribes(server))
            await asyncio.to_thread(server.send, "events.appended", _events(1, 5, 6, 7))
            await _next(connection, EventsUpdate)
            await asyncio.to_thread(server.cut)
            await _wait_for(server, lambda: len(_subscribes(server)) == 2)
            again = _subscribes(server)[1]
            assert (again.epoch, again.after) == ("e1", 7)


async def test_events_resume_even_before_the_first_one_came() -> None:
    """The server's answer says where the log stood; a quiet log loses nothing in a cut either."""
    with FakeServer() as server:
        async with _connection(server) as connection:
            await connection.subscribe(Subscribe(subscription=1, topic=Topic.EVENTS))
            await _wait_for(server, lambda: _subscribes(server))
            await asyncio.to_thread(server.send, "live.subscribed", Subscribed(subscription=1, epoch="e1", after=41))
            await _next(connection, Subscribed)
            await asyncio.to_thread(server.cut)
            await _wait_for(server, lambda: len(_subscribes(server)) == 2)
            assert (_subscribes(server)[1].epoch, _subscribes(server)[1].after) == ("e1", 41)


async def test_a_server_restart_is_survived() -> None:
    """Gone for a while, back on the same port: the connection is open again by itself."""
    with FakeServer() as server:
        async with _connection(server) as connection:
            await _state(connection, connected=True)
            await asyncio.to_thread(server.stop)
            state = await _state(connection, connected=False)
            assert state.code == "unreachable"
            await asyncio.to_thread(server.start)
            await _state(connection, connected=True)


@pytest.mark.parametrize("data", [b"\xff\x00", b"", b"\x81\xa1v\x01"])
async def test_a_broken_message_ends_the_connection_not_the_program(data: bytes) -> None:
    """What cannot be read is said; then it goes on."""
    with FakeServer() as server:
        async with _connection(server) as connection:
            await _state(connection, connected=True)
            await asyncio.to_thread(server.send_bytes, data)
            assert (await _state(connection, connected=False)).code == "malformed_message"
            await _state(connection, connected=True)


async def test_a_refused_token_is_said_and_tried_slowly() -> None:
    """The state carries the code; the next try is at the cap, not at once."""
    with FakeServer() as server:
        server.rejecting = Problem(type="urn:x", title="t", status=401, code="unauthenticated", detail="Unknown token.")
        slow = Backoff(first_s=0.01, cap_s=40, draw=lambda low, high: low)
        credential = Credential(url=server.url, token="cco_x")
        async with LiveConnection(credential, backoff=slow) as connection:
            state = await _state(connection, connected=False)
    assert state.code == "unauthenticated"
    assert state.retry_in_s == 20


async def test_a_server_without_our_subprotocol_is_another_version() -> None:
    """No guessing at messages of a protocol that was not agreed."""
    with FakeServer() as server:
        server.stop()
        server.subprotocol = ""
        server.start()
        async with _connection(server) as connection:
            assert (await _state(connection, connected=False)).code == "version_mismatch"


async def test_updates_of_a_closed_subscription_are_not_delivered() -> None:
    """What the server sent before it knew is dropped."""
    with FakeServer() as server:
        async with _connection(server) as connection:
            await connection.subscribe(Subscribe(subscription=2, topic=Topic.HOSTS))
            await _state(connection, connected=True)
            await asyncio.to_thread(server.send, "hosts.window", _window(1))
            await asyncio.to_thread(server.send, "hosts.window", _window(2))
            assert (await _next(connection, HostsUpdate)).subscription == 2


async def test_a_slow_reader_gets_the_newest_state() -> None:
    """Nobody reads for a thousand updates: the first one read is the last one sent."""
    with FakeServer() as server:
        async with _connection(server) as connection:
            await connection.subscribe(Subscribe(subscription=1, topic=Topic.HOSTS))
            await connection.subscribe(Subscribe(subscription=2, topic=Topic.METRICS, host="h"))
            await _state(connection, connected=True)

            async def flood(fake: FakeServer) -> None:
                for at in range(1000):
                    for one in fake.connections:
                        await one.send(fake.codec.encode("hosts.window", _window(1, at)))
                last = MetricsUpdate(subscription=2, host_id="h", catalogue="c", timestamp_ms=1, values=b"")
                for one in fake.connections:
                    await one.send(fake.codec.encode("metrics.samples", last))

            await asyncio.to_thread(lambda: server.run(flood(server)))
            seen: list[int] = []
            async for update in connection:
                if isinstance(update, HostsUpdate):
                    seen.append(update.window.timestamp_ms)
                elif isinstance(update, MetricsUpdate):
                    break
            assert seen[-1] == 999
            assert len(seen) < 500


async def test_closing_ends_the_iteration() -> None:
    """A program that is done is not kept waiting."""
    with FakeServer() as server:
        connection = _connection(server)
        async with connection:
            await _state(connection, connected=True)
        assert [update async for update in connection] == []


async def test_iterating_before_opening_is_a_mistake_that_is_said() -> None:
    """Not an endless wait."""
    connection = LiveConnection(Credential(url="http://127.0.0.1:1", token="t"))
    with pytest.raises(RuntimeError, match="async with"):
        await anext(connection)


async def _answer_hosts(server: FakeServer, socket: ServerConnection, kind: str, payload: Any) -> None:
    if isinstance(payload, Subscribe):
        codec = server.codec
        await socket.send(codec.encode("live.subscribed", Subscribed(subscription=payload.subscription, epoch="e")))
        await socket.send(codec.encode("hosts.window", _window(payload.subscription)))


async def test_live_is_an_endless_list_of_updates() -> None:
    """The short form yields data only, or also states where asked."""
    with FakeServer() as server:
        server.viewer = _answer_hosts
        async with AsyncClient(server.url, token="t") as client, asyncio.timeout(DEADLINE_S):
            async for update in client.live("hosts"):
                assert update == _window(1)
                break
            kinds = []
            async for update in client.live("hosts", states=True):
                kinds.append(type(update))
                if len(kinds) == 3:
                    break
            assert kinds == [ConnectionState, Subscribed, HostsUpdate]


async def test_live_raises_what_cannot_get_better() -> None:
    """An unknown host and a refused token end the iteration with the service's error."""

    async def no_host(server: FakeServer, socket: ServerConnection, kind: str, payload: Any) -> None:
        told = Problem(type="urn:x", title="t", status=404, code="host_not_found", detail="No.", subscription=1)
        await socket.send(server.codec.encode("problem", told))

    with FakeServer() as server:
        server.viewer = no_host
        async with AsyncClient(server.url, token="t") as client, asyncio.timeout(DEADLINE_S):
            with pytest.raises(NotFoundError):
                async for _ in client.live("host/metrics", host="nobody"):
                    pass
            server.rejecting = Problem(type="urn:x", title="t", status=401, code="unauthenticated", detail="No.")
            with pytest.raises(UnauthenticatedError):
                async for _ in client.live("hosts"):
                    pass


def test_live_without_a_loop() -> None:
    """The blocking client iterates the same updates; leaving the loop ends its thread."""
    with FakeServer() as server:
        server.viewer = _answer_hosts
        with Client(server.url, token="t") as client:
            updates = client.live("hosts")
            assert next(updates) == _window(1)
            updates.close()
            server.wait_for(lambda: not server.connections)


def test_a_topic_is_checked_before_anything_is_sent() -> None:
    """A wrong topic, a missing host, nothing at all: each is named."""
    options: dict[str, Any] = {
        "host": None, "selector": None, "limit": 1, "interval_ms": 1000, "after": None, "epoch": None,
    }  # fmt: skip
    for topics in ((), ("nonsense",), ("host/metrics",)):
        with pytest.raises(InvalidInputError):
            subscriptions(topics, **options)
    made = subscriptions(("hosts", "events"), **{**options, "after": 3, "selector": "web-*"})
    assert [(one.subscription, one.topic, one.after, one.selector) for one in made] == [
        (1, Topic.HOSTS, None, "web-*"),
        (2, Topic.EVENTS, 3, None),
    ]


async def test_an_old_server_is_raised_as_a_version_mismatch() -> None:
    """`live` does not wait for ever for a server that will not change by itself."""
    with FakeServer() as server:
        server.stop()
        server.subprotocol = ""
        server.start()
        async with AsyncClient(server.url, token="t") as client, asyncio.timeout(DEADLINE_S):
            with pytest.raises(VersionMismatchError):
                async for _ in client.live("hosts"):
                    pass
