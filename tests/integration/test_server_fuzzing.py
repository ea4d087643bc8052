"""Damaged and invented messages on both sockets: refused by name, never a failure of the server."""

import logging
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from cybercorp.protocol.agents import Acknowledge, AnnounceCatalogue, Hello, Record, Records, RecordType
from cybercorp.protocol.live import Subscribe, Topic, Unsubscribe
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.registry import MESSAGES, Codec
from cybercorp.server.services.allowance import Allowance
from tests.integration.serving import SMALL, AgentPeer, Peer, ServerThread, now_ms, row
from tests.stack import wait_until

CODEC = Codec()
TABLE = ProcessTable(timestamp_ms=1, total=1)
SAMPLES = [Record(1, now_ms(), RecordType.SAMPLES, SMALL.id, row())]
VALID = [
    CODEC.encode(
        "agent.hello", Hello(version="1", stream="s", oldest_seq=0, newest_seq=0, interval_ms=1000, clock_ms=0)
    ),
    CODEC.encode("agent.catalogue", AnnounceCatalogue(id=SMALL.id, series=SMALL.series)),
    CODEC.encode("agent.records", Records(records=SAMPLES)),
    CODEC.encode("agent.processes", TABLE),
    CODEC.encode("live.subscribe", Subscribe(subscription=1, topic=Topic.HOSTS)),
    CODEC.encode("live.subscribe", Subscribe(subscription=1, topic=Topic.EVENTS, after=0)),
    CODEC.encode("live.unsubscribe", Unsubscribe(subscription=1)),
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
INTEGERS = st.integers(-(2**63), 2**64 - 1) | st.integers(0, 10)
RECORDS = st.lists(
    st.tuples(INTEGERS, INTEGERS, INTEGERS, st.sampled_from(["", SMALL.id, "x"]), st.binary(max_size=60)), max_size=4
)
BOUNDED = settings(
    max_examples=120, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid message with some bytes changed, cut or added."""
    data = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


def invented() -> st.SearchStrategy[bytes]:
    """An envelope of a known kind with any payload, or records of any numbers and bodies."""
    kinds = st.sampled_from(sorted(MESSAGES))
    payloads = VALUES | st.builds(lambda records: {"records": records}, RECORDS)
    return st.builds(
        lambda kind, payload: msgspec.msgpack.encode({"v": 1, "kind": kind, "payload": payload}), kinds, payloads
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    """A server that takes whatever comes."""
    with ServerThread(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Whatever the server logs as an error while a test runs fails it."""
    caplog.set_level(logging.ERROR)
    yield caplog
    assert [one.getMessage() for one in caplog.records] == []


def outcome(peer: Peer) -> int:
    """0 while the connection lives, else the code it was closed with."""
    try:
        while True:
            peer.receive(0.002)
    except TimeoutError:
        return 0
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


def test_agents(server: ServerThread, errors: pytest.LogCaptureFixture) -> None:
    """An agent that sends rubbish is refused with 1007 or 1008, or goes on; the agent beside it notices nothing."""
    token = server.join("evil")
    evil = server.services.fleet.by_key(1)
    assert evil is not None
    evil.connections = Allowance(1_000, 1.0)  # it may come again after every refusal
    good = server.agent("good")
    good.announce()
    held: list[AgentPeer] = []

    @BOUNDED
    @given(st.lists(damaged() | invented(), min_size=1, max_size=3))
    def send(messages: list[bytes]) -> None:
        if not held:
            held.append(AgentPeer(server.url, token))
            held[0].greet()
            held[0].announce()
        code = 0
        for data in messages:
            try:
                held[0].socket.send(data)
            except ConnectionClosed:
                break
        code = outcome(held[0])
        assert code in (0, 1007, 1008), messages
        if code:
            held.pop().close()
            wait_until(lambda: server.services.agents.find(1) is None, "the end of the connection")

    send()
    last = good.samples(0.1, 0.2)
    while good.expect(Acknowledge).seq < last:
        pass
    for peer in (*held, good):
        peer.close()


def test_viewers(server: ServerThread, errors: pytest.LogCaptureFixture) -> None:
    """A viewer that sends rubbish hears problems, and is cut after too many."""
    held: list[Peer] = []

    @BOUNDED
    @given(st.lists(damaged() | invented(), min_size=1, max_size=3))
    def send(messages: list[bytes]) -> None:
        if not held:
            held.append(server.viewer())
        for data in messages:
            try:
                held[0].socket.send(data)
            except ConnectionClosed:
                break
        code = outcome(held[0])
        assert code in (0, 1007, 1008), messages
        if code:
            held.pop().close()

    send()
    with server.viewer() as viewer:
        viewer.send("live.subscribe", Subscribe(subscription=1, topic=Topic.EVENTS))
        assert viewer.receive().kind == "live.subscribed"
    for peer in held:
        peer.close()
