"""An agent's socket: what it sends arrives, what goes wrong is named, and nothing blocks."""

import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from cybercorp.client.agent_connection import HEARTBEAT_S, AgentConnection
from cybercorp.core.errors import (
    CyberCorpError,
    LimitExceededError,
    UnauthenticatedError,
    UnreachableError,
    VersionMismatchError,
)
from cybercorp.protocol.agents import Record, Records, Watch
from cybercorp.protocol.problems import Problem
from cybercorp.security.credentials import Credential
from tests.fakes.server import FakeServer
from tests.faults.proxy import FaultProxy
from tests.joined import credential_of, joined, new_key


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A fake server that never says welcome: these tests are about the socket alone."""
    with FakeServer() as fake:
        fake.greeting = False
        yield fake


def _open(server: FakeServer, port: int | None = None) -> AgentConnection:
    return AgentConnection.open(
        credential_of(joined("host_1", new_key()), f"http://127.0.0.1:{port or server.port}"), timeout_s=5
    )


def _receive(connection: AgentConnection, count: int = 1) -> list[bytes]:
    found: list[bytes] = []
    deadline = time.monotonic() + 10
    while len(found) < count:
        assert time.monotonic() < deadline
        if select.select([connection], [], [], 1)[0]:
            found += connection.receive(time.monotonic())
    return found


def _drain_until_error(connection: AgentConnection) -> CyberCorpError:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        select.select([connection], [], [], 1)
        try:
            connection.receive(time.monotonic())
        except CyberCorpError as error:
            return error
    raise AssertionError("no error")


def test_messages_pass_both_ways(server: FakeServer) -> None:
    """Several messages at once, and one that is nearly as large as a message may be."""
    connection = _open(server)
    body = b"x" * 200_000
    connection.send(server.codec.encode("agent.records", Records(records=[Record(1, 0, 1, "c", body)])))
    while connection.wants_write:
        select.select([], [connection], [], 1)
        connection.flush()
    server.wait_for(lambda: server.records)
    assert len(_receive(connection)) == 1
    for interval in (1, 2, 3):
        server.send("agent.watch", Watch(processes_interval_ms=interval))
    kinds = [server.codec.decode(one).payload.processes_interval_ms for one in _receive(connection, 3)]
    assert kinds == [1, 2, 3]
    assert server.tokens == ["Agent-Key host_1"]
    connection.close()
    server.wait_for(lambda: not server.connections)


def test_a_message_that_no_server_takes_is_refused_here(server: FakeServer) -> None:
    """Better an error than a connection that is closed for each try."""
    connection = _open(server)
    with pytest.raises(LimitExceededError):
        connection.send(b"x" * 300_000)
    connection.close()


def test_a_refused_token_is_said(server: FakeServer) -> None:
    """The problem in the handshake's answer is raised."""
    server.rejecting = Problem(type="urn:x", title="t", status=401, code="unauthenticated", detail="Revoked.", hint="!")
    with pytest.raises(UnauthenticatedError, match="Revoked"):
        _open(server)


def test_another_subprotocol_is_another_version(server: FakeServer) -> None:
    """What was not agreed is not spoken."""
    server.stop()
    server.subprotocol = ""
    server.start()
    with pytest.raises(VersionMismatchError):
        _open(server)


@pytest.mark.parametrize(
    "greeting", [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"\x00\xff\x00garbage\r\n\r\n", b"SSH-2.0-x\r\n"]
)
def test_something_else_on_that_port_is_named(greeting: bytes) -> None:
    """Whatever answers, it ends in an error of ours."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            one, _ = listener.accept()
            with one:
                one.recv(65536)
                one.sendall(greeting)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises((UnreachableError, VersionMismatchError)):
            AgentConnection.open(Credential(url=f"http://127.0.0.1:{listener.getsockname()[1]}", token="t"))
        thread.join()


def test_nobody_there_is_unreachable() -> None:
    """The hint names what to start."""
    with pytest.raises(UnreachableError, match="cybercorp up"):
        AgentConnection.open(Credential(url="http://127.0.0.1:1", token="t"))


def test_a_handshake_that_hangs_is_given_up(server: FakeServer) -> None:
    """A port that accepts and says nothing costs the timeout."""
    with FaultProxy(server.port) as proxy:
        proxy.blackhole = True
        with pytest.raises(UnreachableError):
            AgentConnection.open(Credential(url=f"http://127.0.0.1:{proxy.port}", token="t"), timeout_s=0.2)


@pytest.mark.parametrize(
    ("code", "expected"), [(1012, "unreachable"), (1008, "unauthenticated"), (1013, "unreachable")]
)
def test_why_the_server_closed_is_told(server: FakeServer, code: int, expected: str) -> None:
    """The close code becomes an error with words."""
    connection = _open(server)
    server.wait_for(lambda: server.connections)
    closer = threading.Thread(target=server.close_all, args=(code,))
    closer.start()
    assert _drain_until_error(connection).error_code == expected
    connection.close()
    closer.join()


def test_what_was_said_before_the_close_is_heard(server: FakeServer) -> None:
    """A reason that comes right before the close frame is not lost."""
    connection = _open(server)
    server.wait_for(lambda: server.connections)
    server.send("agent.watch", Watch(processes_interval_ms=7))
    closer = threading.Thread(target=server.close_all, args=(1012,))
    closer.start()
    assert len(_receive(connection)) == 1
    assert _drain_until_error(connection).error_code == "unreachable"
    connection.close()
    closer.join()


def test_a_cut_is_noticed(server: FakeServer) -> None:
    """A reset and an abort are errors, not silence."""
    with FaultProxy(server.port) as proxy:
        connection = _open(server, proxy.port)
        server.wait_for(lambda: server.connections)
        proxy.cut()
        assert isinstance(_drain_until_error(connection), UnreachableError)
        connection.close()


def test_silence_is_noticed(server: FakeServer) -> None:
    """Ten seconds without a word: a ping; ten more without an answer: the connection is dead."""
    with FaultProxy(server.port) as proxy:
        connection = _open(server, proxy.port)
        proxy.blackhole = True
        connection.heartbeat(100.0)
        connection.heartbeat(100.0 + HEARTBEAT_S)
        connection.heartbeat(100.0 + 1.9 * HEARTBEAT_S)
        with pytest.raises(UnreachableError, match="silent"):
            connection.heartbeat(100.0 + 2 * HEARTBEAT_S)
        connection.close()


def test_a_ping_that_is_answered_keeps_the_connection(server: FakeServer) -> None:
    """A quiet server that lives is not dropped."""
    connection = _open(server)
    connection.heartbeat(100.0)
    connection.heartbeat(100.0 + HEARTBEAT_S)
    assert select.select([connection], [], [], 10)[0]
    assert connection.receive(100.0 + HEARTBEAT_S) == []
    connection.heartbeat(100.0 + 2 * HEARTBEAT_S - 0.1)
    connection.close()


def test_a_server_that_does_not_read_blocks_nobody(server: FakeServer) -> None:
    """Bytes wait here; the agent goes on sampling."""
    with FaultProxy(server.port) as proxy:
        connection = _open(server, proxy.port)
        proxy.latency_s = 30
        message = server.codec.encode("agent.records", Records(records=[Record(1, 0, 1, "c", b"x" * 190_000)]))
        start = time.monotonic()
        for _ in range(100):
            connection.send(message)
        assert time.monotonic() - start < 5
        assert connection.wants_write
        connection.close()
