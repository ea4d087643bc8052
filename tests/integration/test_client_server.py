"""The client library against the real product: every noun, and live updates over a dying server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cybercorp import AsyncClient, Client
from cybercorp.client.backoff import Backoff
from cybercorp.client.inbox import ConnectionState
from cybercorp.client.live import LiveConnection
from cybercorp.core.errors import (
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    TimeExpressionError,
    UnauthenticatedError,
)
from cybercorp.protocol.events import EventKind
from cybercorp.protocol.live import (
    EventsUpdate,
    HostsUpdate,
    MetricsCatalogueUpdate,
    MetricsUpdate,
    ProcessesUpdate,
    Subscribe,
    Topic,
)
from tests.integration.fleet import Fleet
from tests.stack import Stack, wait_until

DEADLINE_S = 30


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """A client that finds the running server by its data folder."""
    with Client(data_dir=stack.data_dir) as made:
        yield made


def test_the_local_server_is_found_without_a_word(client: Client, stack: Stack) -> None:
    """The owner's credential is in the data folder."""
    assert client.url == stack.url
    assert client.server.ready().status == "ok"
    info = client.server.info()
    assert info.agents_connected == 1
    assert info.hosts == 1


def test_hosts(client: Client) -> None:
    """List, get, select, label; an unknown one is an error of its own class with a hint."""
    (host,) = client.hosts.list()
    assert host.facts.cpu_count > 0
    assert host.latest["cpu"] is not None
    assert client.hosts.get(host.id).id == client.hosts.get(host.name).id == host.id
    assert client.hosts.label(host.name, {"env": "a b"}).labels["env"] == "a b"
    assert [one.name for one in client.hosts.list(labels={"env": "a b"})] == [host.name]
    assert client.hosts.list(labels={"env": "other"}) == []
    assert "env" not in client.hosts.label(host.name, {"env": None}).labels
    with pytest.raises(NotFoundError) as caught:
        client.hosts.get("no-such-host")
    assert caught.value.error_code == "host_not_found"
    window = client.hosts.window(sort="cpu", descending=True, pinned=host.id)
    assert window.counts.total == 1
    assert window.pinned is not None
    latest = client.hosts.latest(host.name)
    assert {one.name for one in latest.values} >= {"system.cpu.utilization", "system.memory.usage"}


def test_metrics(client: Client) -> None:
    """Descriptions, a query as people write it, and each kind of wrong question."""
    assert "system.cpu.utilization" in {one.name for one in client.metrics.list()}
    # A host is known before its first samples are committed.
    result = wait_until(lambda: client.metrics.query("cpu", "mem", since="1m", step="1s"), "stored samples")
    assert {one.name for one in result} == {"system.cpu.utilization", "system.memory.utilization"}
    assert result.to_numpy().shape == (len(result), len(result.timestamps_ms))
    with pytest.raises(NotFoundError):
        client.metrics.query("no.such.metric")
    with pytest.raises(LimitExceededError) as caught:
        client.metrics.query("cpu", since="14d", step="1s")
    assert caught.value.error_code == "too_many_points"
    with pytest.raises(TimeExpressionError):
        client.metrics.query("cpu", since="yesteryear")
    with pytest.raises(InvalidInputError):
        client.metrics.query("cpu", aggregation="nonsense")


def test_processes_and_events(client: Client, stack: Stack) -> None:
    """A live table has the server's own process; the log knows who joined."""
    (host,) = client.hosts.list()
    answer = client.processes.list(host.name)
    assert answer.live
    assert stack.process.pid in answer.table.pid
    page = client.events.list(kinds=[EventKind.HOST_JOINED], host=host.name)
    assert [event.host for event in page.events] == [host.name]


def test_a_wrong_token_is_refused(stack: Stack) -> None:
    """Nothing answers without the right token; only readiness does."""
    with Client(stack.url, token="cco_wrong") as stranger:
        with pytest.raises(UnauthenticatedError):
            stranger.hosts.list()
        assert stranger.server.ready().status == "ok"
        with pytest.raises(UnauthenticatedError):
            next(stranger.live("hosts"))


def test_live_without_a_loop(client: Client) -> None:
    """The short form, blocking."""
    updates = client.live("hosts")
    update = next(updates)
    updates.close()
    assert isinstance(update, HostsUpdate)
    assert update.window.counts.total == 1


async def test_one_socket_many_subscriptions(stack: Stack, client: Client) -> None:
    """Hosts, samples with their catalogue, whole process tables and events over one connection."""
    host = client.hosts.list()[0].name
    wanted = [
        Subscribe(subscription=1, topic=Topic.HOSTS),
        Subscribe(subscription=2, topic=Topic.METRICS, host=host),
        Subscribe(subscription=3, topic=Topic.PROCESSES, host=host),
        Subscribe(subscription=4, topic=Topic.EVENTS, after=0),
    ]
    seen: dict[type, Any] = {}
    needed = {HostsUpdate, MetricsCatalogueUpdate, MetricsUpdate, ProcessesUpdate, EventsUpdate}
    async with AsyncClient(data_dir=stack.data_dir) as fleet, fleet.connect_live() as connection:
        for request in wanted:
            await connection.subscribe(request)
        async with asyncio.timeout(DEADLINE_S):
            async for update in connection:
                seen[type(update)] = update
                if needed <= set(seen):
                    break
    samples, catalogue = seen[MetricsUpdate], seen[MetricsCatalogueUpdate]
    assert samples.catalogue == catalogue.catalogue
    assert len(samples.values) == 8 * len(catalogue.series)
    assert not seen[ProcessesUpdate].table.partial


@pytest.mark.slow
async def test_events_have_no_hole_over_a_killed_server(tmp_path: Path) -> None:
    """kill -9 while somebody follows the log: after the restart the next events come, none twice, none left out."""
    fleet = await asyncio.to_thread(Fleet, tmp_path)
    quick = Backoff(first_s=0.1, cap_s=0.5)
    try:
        async with LiveConnection(fleet.client.credential, backoff=quick) as connection, asyncio.timeout(DEADLINE_S):
            await connection.subscribe(Subscribe(subscription=1, topic=Topic.EVENTS, after=0))
            ids: list[int] = []
            restarted = False
            async for update in connection:
                if isinstance(update, EventsUpdate):
                    ids += [event.id for event in update.events]
                    kinds = [event.kind for event in update.events]
                    if not restarted:
                        restarted = True
                        fleet.server.kill()
                        fleet.server.wait()
                    elif EventKind.SERVER_STARTED in kinds:
                        break
                elif isinstance(update, ConnectionState) and not update.connected and fleet.server.poll() is not None:
                    await asyncio.to_thread(fleet.start_server)
        stored = [event.id for event in fleet.client.events.list(after=0, limit=1000).events]
        assert ids == stored[: len(ids)]
        assert len(ids) >= 2
    finally:
        await asyncio.to_thread(fleet.close)
