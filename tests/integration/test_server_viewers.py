"""The viewers' socket: windows, samples, processes and events as they come, and nobody delays anybody."""

import math
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import cybercorp.server.services.outbox as outbox
from cybercorp.protocol.agents import Acknowledge, Record, RecordType, Watch
from cybercorp.protocol.events import AgentEvent, EventKind, Severity
from cybercorp.protocol.hosts import HostSort, HostState
from cybercorp.protocol.live import (
    EventsUpdate,
    HostsUpdate,
    MetricsCatalogueUpdate,
    MetricsUpdate,
    ProcessesUpdate,
    Subscribe,
    Subscribed,
    Topic,
    Unsubscribe,
)
from cybercorp.protocol.metrics import Series, make_catalogue
from cybercorp.protocol.problems import Problem
from cybercorp.protocol.processes import ProcessTable
from tests.integration.serving import SMALL, AgentPeer, Peer, ServerThread, now_ms
from tests.stack import wait_until

WIDE = make_catalogue([*SMALL.series, *(Series(name="wide", attributes={"i": str(i)}) for i in range(200))])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerThread]:
    """A server without hosts."""
    with ServerThread(tmp_path) as running:
        yield running


@pytest.fixture
def fleet(server: ServerThread) -> Iterator[list[AgentPeer]]:
    """Five hosts `a` … `e` with a CPU of 10 % … 50 %."""
    agents = []
    for number, name in enumerate("abcde", 1):
        agent = server.agent(name, server.join(name, server.enrolment(labels={"env": "prod"})))
        agent.announce()
        agent.samples(number / 10)
        agent.expect(Acknowledge)
        agents.append(agent)
    yield agents
    for agent in agents:
        agent.close()


def ask(viewer: Peer, **fields: object) -> None:
    viewer.send("live.subscribe", Subscribe(subscription=1, **fields))  # type: ignore[arg-type]


def slow_viewer(server: ServerThread) -> Peer:
    """A viewer with a small window of the network, so that what it does not read soon waits at the server."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", server.port))
    return Peer(server.url, "/api/v1/live", server.token, sock=small)


def names(update: HostsUpdate) -> list[str]:
    return [one.name for one in update.window.rows]


def test_a_window_of_the_fleet(server: ServerThread, fleet: list[AgentPeer]) -> None:
    """Sorted, filtered, counted; the pinned row comes along with its rank; a new subscription replaces the old one."""
    pinned = server.services.fleet.find("a")
    assert pinned is not None
    with server.viewer() as viewer:
        ask(viewer, topic=Topic.HOSTS, sort=HostSort.CPU, descending=True, offset=1, limit=2, pinned=pinned.id)
        viewer.expect(Subscribed)
        update = viewer.expect(HostsUpdate)
        assert names(update) == ["d", "c"]
        assert update.window.counts.total == update.window.counts.online == 5
        assert update.window.pinned is not None
        assert (update.window.pinned.name, update.window.pinned_rank) == ("a", 4)
        assert [one.cpu for one in update.window.rows] == [0.4, 0.3]
        ask(viewer, topic=Topic.HOSTS, selector="cpu>25 env=prod", limit=100, pinned=pinned.id)
        wait_until(lambda: names(seen := viewer.expect(HostsUpdate)) == ["c", "d", "e"] and seen, "the new window")
        update = viewer.expect(HostsUpdate)
        assert (update.window.counts.total, update.window.pinned, update.window.pinned_rank) == (3, None, None)


def test_equal_values_keep_their_order(server: ServerThread, fleet: list[AgentPeer]) -> None:
    """Rows with the same value do not jump from one window to the next, in either direction."""
    with server.viewer() as viewer:
        for descending in (False, True):
            ask(viewer, topic=Topic.HOSTS, sort=HostSort.MEMORY, descending=descending, interval_ms=100)
            viewer.expect(Subscribed)
            seen = {tuple(names(viewer.expect(HostsUpdate))) for _ in range(5)}
            assert seen == {("a", "b", "c", "d", "e")}


def test_hosts_that_say_nothing_come_last(server: ServerThread, fleet: list[AgentPeer]) -> None:
    """An unknown value is neither the smallest nor the largest."""
    server.join("silent")
    for descending in ("false", "true"):
        rows = server.get("/api/v1/fleet", sort="cpu", descending=descending)["rows"]
        assert (rows[-1]["name"], rows[-1]["cpu"], rows[-1]["state"]) == ("silent", None, HostState.OFFLINE)


def test_new_values_arrive(server: ServerThread, fleet: list[AgentPeer]) -> None:
    """A row that an agent sends is in the next window."""
    with server.viewer() as viewer:
        ask(viewer, topic=Topic.HOSTS, selector="a", interval_ms=100)
        fleet[0].samples(0.95)
        wait_until(lambda: [one.cpu for one in viewer.expect(HostsUpdate).window.rows] == [0.95], "the new value")


def test_the_catalogue_comes_before_the_samples(server: ServerThread, fleet: list[AgentPeer]) -> None:
    """Also when it changes midway: every row that is seen has as many values as the last catalogue has series."""
    with server.viewer() as viewer:
        ask(viewer, topic=Topic.METRICS, host="a")
        viewer.expect(Subscribed)
        assert isinstance(viewer.receive().payload, MetricsCatalogueUpdate)
        first = viewer.receive().payload
        assert isinstance(first, MetricsUpdate)
        assert struct.unpack("<6d", first.values)[0] == 0.1
        fleet[0].announce(WIDE)
        for number in range(10):
            fleet[0].samples(0.5, catalogue=(WIDE, SMALL)[number % 2])
        fleet[0].samples(0.77, catalogue=WIDE)
        catalogue, value = SMALL.id, math.nan
        widths = {SMALL.id: len(SMALL.series), WIDE.id: len(WIDE.series)}
        while value != 0.77:
            payload = viewer.receive().payload
            if isinstance(payload, MetricsCatalogueUpdate):
                assert len(payload.series) == widths[payload.catalogue]
                catalogue = payload.catalogue
            elif isinstance(payload, MetricsUpdate):
                assert payload.catalogue == catalogue
                assert len(payload.values) == 8 * widths[catalogue]
                value = struct.unpack_from("<d", payload.values)[0]
        assert catalogue == WIDE.id


def test_fewer_samples_for_who_asks_for_fewer(server: ServerThread, fleet: list[AgentPeer]) -> None:
    """A viewer that asks for one row a minute gets the first; another one gets all."""
    with server.viewer() as viewer:
        ask(viewer, topic=Topic.METRICS, host="a", interval_ms=60_000)
        viewer.send("live.subscribe", Subscribe(subscription=2, topic=Topic.METRICS, host="a"))
        while viewer.expect(MetricsUpdate).subscription != 2:
            pass
        seen: list[tuple[int, float]] = []
        for cpu in (0.0, 0.1, 0.2, 0.3, 0.4):
            fleet[0].samples(cpu)
            while (2, cpu) not in seen:
                update = viewer.expect(MetricsUpdate)
                seen.append((update.subscription, struct.unpack_from("<d", update.values)[0]))
        assert [value for number, value in seen if number == 2] == [0.0, 0.1, 0.2, 0.3, 0.4]
        assert len([value for number, value in seen if number == 1]) <= 1


def test_processes_are_collected_while_somebody_looks(
    server: ServerThread, fleet: list[AgentPeer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first viewer makes the agent begin, the last one makes it rest; tables go to all of them."""
    monkeypatch.setattr("cybercorp.server.services.processes.LINGER_S", 0.1)
    agent = fleet[0]
    with server.viewer() as one, server.viewer() as two:
        for viewer in (one, two):
            ask(viewer, topic=Topic.PROCESSES, host="a")
            viewer.expect(Subscribed)
        assert agent.expect(Watch).processes_interval_ms == 1000
        agent.send("agent.processes", ProcessTable(timestamp_ms=now_ms(), total=3))
        assert [viewer.expect(ProcessesUpdate).table.total for viewer in (one, two)] == [3, 3]
        one.send("live.unsubscribe", Unsubscribe(subscription=1))
        with pytest.raises(TimeoutError):
            agent.expect(Watch, 0.4)
    assert agent.expect(Watch).processes_interval_ms == 0


def test_a_new_connection_of_a_watched_host(server: ServerThread, fleet: list[AgentPeer]) -> None:
    """An agent that comes back while somebody looks is told so at once."""
    with server.viewer() as viewer:
        ask(viewer, topic=Topic.PROCESSES, host="a")
        fleet[0].expect(Watch)
        fleet[0].close()
        server.wait_for_event(EventKind.HOST_DISCONNECTED, "a")
        with server.agent("a", fleet[0].token) as again:
            assert again.expect(Watch).processes_interval_ms == 1000


def test_a_question_for_processes(
    server: ServerThread, fleet: list[AgentPeer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over REST: asked of the agent; an agent that does not answer costs the question a bounded time and no memory."""
    monkeypatch.setattr("cybercorp.server.services.processes.LIVE_TIMEOUT_S", 0.2)
    answer = server.http.get("/api/v1/hosts/a/processes")
    assert (answer.status_code, answer.json()["code"]) == (404, "no_processes")
    assert not server.services.processes._waiting
    monkeypatch.setattr("cybercorp.server.services.processes.LIVE_TIMEOUT_S", 10)
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(server.get("/api/v1/hosts/b/processes")["live"]))
    asking.start()
    fleet[1].expect(Watch)
    fleet[1].send("agent.processes", ProcessTable(timestamp_ms=now_ms(), total=3))
    asking.join(10)
    assert answers == [True]


def test_events_are_followed_and_resumed(server: ServerThread, fleet: list[AgentPeer]) -> None:
    """With offset and epoch nothing is missing and nothing comes twice; of another log nothing is promised."""
    with server.viewer() as viewer:
        ask(viewer, topic=Topic.EVENTS)
        begun = viewer.expect(Subscribed)
        assert begun.resumed
        server.http.patch("/api/v1/hosts/a", json={"labels": {"x": "1"}})
        (event,) = viewer.expect(EventsUpdate).events
        assert (event.kind, event.id > (begun.after or 0)) == ("host.labelled", True)
    for number in range(5):
        server.http.patch("/api/v1/hosts/a", json={"labels": {"x": str(number)}})
    with server.viewer() as viewer:
        ask(viewer, topic=Topic.EVENTS, after=event.id, epoch=begun.epoch)
        again = viewer.expect(Subscribed)
        assert (again.resumed, again.after) == (True, event.id)
        missed = viewer.expect(EventsUpdate).events
        assert [one.id for one in missed] == list(range(event.id + 1, event.id + 6))
        server.http.patch("/api/v1/hosts/a", json={"labels": {"x": None}})
        (fresh,) = viewer.expect(EventsUpdate).events
        assert fresh.id == event.id + 6
        for epoch, after in (("another", event.id), (begun.epoch, event.id + 1000)):
            ask(viewer, topic=Topic.EVENTS, after=after, epoch=epoch)
            told = viewer.expect(Subscribed)
            assert (told.resumed, told.epoch, told.after) == (False, begun.epoch, fresh.id)


def test_the_largest_events_fit_a_message(server: ServerThread, fleet: list[AgentPeer]) -> None:
    """A hostile agent's largest events, resumed all at once, stay below a viewer's limit of one MiB a message."""
    huge = AgentEvent(
        kind="k" * 64,
        severity=Severity.INFO,
        message="\U0001f600" * 3000,
        attributes={f"{i}" + "\U0001f600" * 200: "\U0001f600" * 600 for i in range(32)},
    )
    with server.viewer() as viewer:
        ask(viewer, topic=Topic.EVENTS)
        begun = viewer.expect(Subscribed)
    for _ in range(40):
        fleet[0].seq += 1
        record = Record(fleet[0].seq, now_ms(), RecordType.EVENT, "", msgspec.msgpack.encode(huge))
        fleet[0].send_records([record])
    while fleet[0].expect(Acknowledge).seq < fleet[0].seq:
        pass
    seen = 0
    with Peer(server.url, "/api/v1/live", server.token, max_size=2**20) as viewer:
        ask(viewer, topic=Topic.EVENTS, after=begun.after, epoch=begun.epoch)
        while seen < 40:
            seen += len(viewer.expect(EventsUpdate).events)
    assert seen == 40


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"topic": Topic.METRICS}, "invalid_input"),
        ({"topic": Topic.METRICS, "host": "nobody"}, "host_not_found"),
        ({"topic": Topic.HOSTS, "selector": "a==b"}, "invalid_input"),
        ({"topic": Topic.HOSTS, "limit": 100_000}, "invalid_input"),
        ({"topic": Topic.HOSTS, "offset": -1}, "invalid_input"),
        ({"topic": Topic.HOSTS, "interval_ms": 1}, "invalid_input"),
    ],
)
def test_wrong_subscriptions(server: ServerThread, fields: dict[str, object], code: str) -> None:
    """A problem that names the subscription; the connection goes on."""
    with server.viewer() as viewer:
        ask(viewer, **fields)
        told = viewer.expect(Problem)
        assert (told.code, told.subscription) == (code, 1)
        ask(viewer, topic=Topic.HOSTS)
        viewer.expect(HostsUpdate)


def test_too_many_subscriptions(server: ServerThread) -> None:
    """Sixty-four on one connection."""
    with server.viewer() as viewer:
        for number in range(65):
            viewer.send("live.subscribe", Subscribe(subscription=number, topic=Topic.EVENTS))
        assert viewer.expect(Problem).code == "limit_exceeded"


def test_malformed_messages(server: ServerThread) -> None:
    """Each is answered with a problem; who sends nothing else is cut with 1007, another version at once with 1008."""
    with server.viewer() as viewer:
        for data in (b"\xc1", "text", viewer.codec.encode("agent.records", {"records": []})):
            viewer.socket.send(data)
            assert viewer.expect(Problem).code in ("malformed_message", "unknown_message")
        ask(viewer, topic=Topic.HOSTS)
        viewer.expect(HostsUpdate)
        for _ in range(18):  # with the three above one more than are borne
            viewer.socket.send(b"\xc1")
        assert viewer.wait_closed()[0] == 1007
    with server.viewer("json") as viewer:
        viewer.socket.send('{"v": 9, "kind": "live.subscribe", "payload": {}}')
        assert viewer.wait_closed()[0] == 1008


def test_json(server: ServerThread, fleet: list[AgentPeer]) -> None:
    """The JSON subprotocol is text, for browsers; every topic arrives."""
    with server.viewer("json") as viewer:
        ask(viewer, topic=Topic.HOSTS)
        data = viewer.socket.recv(10)
        assert isinstance(data, str)
        assert names(viewer.expect(HostsUpdate)) == ["a", "b", "c", "d", "e"]
        viewer.send("live.subscribe", Subscribe(subscription=2, topic=Topic.METRICS, host="a"))
        assert struct.unpack("<6d", viewer.expect(MetricsUpdate).values)[0] == 0.1


@pytest.mark.slow
def test_a_viewer_that_does_not_read(
    server: ServerThread, fleet: list[AgentPeer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut with 1013, holds a bounded number of bytes until then, and delays no other viewer."""
    monkeypatch.setattr("cybercorp.server.websocket.connection.SLOW_AFTER_S", 3.0)
    fleet[0].announce(WIDE)
    with server.viewer() as good:
        ask(good, topic=Topic.METRICS, host="a")
        good.expect(MetricsUpdate)
        (first,) = server.services.live._viewers
        slow = slow_viewer(server)
        for number in range(1, 30):
            slow.send("live.subscribe", Subscribe(subscription=number, topic=Topic.METRICS, host="a"))
        (held,) = wait_until(lambda: list(server.services.live._viewers - {first}), "the slow viewer")
        done = threading.Event()

        def send() -> None:
            while not done.wait(0.005):
                fleet[0].samples(0.5, catalogue=WIDE)

        sending = threading.Thread(target=send)
        sending.start()
        try:
            delays = []
            while held in server.services.live._viewers:
                update = good.expect(MetricsUpdate)
                delays.append(now_ms() - update.timestamp_ms)
                assert len(held.outbox._states) <= 64 * 4
                assert held.outbox._entry_bytes <= outbox.MAX_ENTRY_BYTES
        finally:
            done.set()
            sending.join()
        assert len(delays) > 10
        assert max(delays) < 2000
        assert first in server.services.live._viewers
        code, reason, _ = slow.wait_closed(30)
        assert (code, "slow" in reason) == (1013, True)


def test_events_that_nobody_takes_are_bounded() -> None:
    """A log that is not read overflows at its limit instead of growing."""
    box = outbox.Outbox()
    for _ in range(outbox.MAX_ENTRIES + 10):
        box.put_entry(b"x")
    assert box.overflowed
    assert len(box._entries) == outbox.MAX_ENTRIES


def test_a_removed_host_stops(server: ServerThread, fleet: list[AgentPeer]) -> None:
    """Its subscriptions end, the window shrinks, the viewer stays."""
    with server.viewer() as viewer:
        viewer.send("live.subscribe", Subscribe(subscription=2, topic=Topic.METRICS, host="a"))
        ask(viewer, topic=Topic.HOSTS, interval_ms=100)
        assert names(viewer.expect(HostsUpdate))[0] == "a"
        assert server.http.delete("/api/v1/hosts/a").status_code == 204
        wait_until(lambda: names(viewer.expect(HostsUpdate)) == ["b", "c", "d", "e"], "the shorter window")
