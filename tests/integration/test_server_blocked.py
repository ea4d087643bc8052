"""A viewer that reads nothing: it is cut, gives everything back, and holds up nobody, not even the server's end."""

import base64
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cybercorp.protocol.events import EventKind
from cybercorp.protocol.live import MetricsUpdate, Subscribe, Topic
from cybercorp.protocol.metrics import Series, make_catalogue
from cybercorp.protocol.registry import Codec
from tests.integration.serving import AgentPeer, ServerThread
from tests.stack import wait_until

WIDE = make_catalogue([Series(name=f"metric.{number}") for number in range(2500)])
ROWS_AT_ONCE = 8


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerThread]:
    """A server of its own."""
    with ServerThread(tmp_path) as running:
        yield running


def deaf_viewer(server: ServerThread, host: str) -> socket.socket:
    """A viewer of the samples of `host` that subscribes and never reads; a plain socket, because clients read ahead."""
    peer = socket.create_connection(("127.0.0.1", server.port))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    key = base64.b64encode(os.urandom(16)).decode()
    peer.sendall(
        f"GET /api/v1/live HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: cybercorp.v1.msgpack\r\n"
        f"Authorization: Bearer {server.token}\r\n\r\n".encode()
    )
    assert b" 101 " in peer.recv(64)
    data = Codec().encode("live.subscribe", Subscribe(subscription=1, topic=Topic.METRICS, host=host))
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
    length = bytes([0x80 | 126]) + len(data).to_bytes(2, "big")  # RFC 6455, section 5.2
    peer.sendall(b"\x82" + length + mask + masked)
    return peer


def backlog(server: ServerThread) -> int:
    """Messages that wait because a viewer does not take them."""
    return sum(len(viewer.outbox._states) for viewer in list(server.services.live._viewers))


def block(server: ServerThread, agent: AgentPeer) -> None:
    """Send until everything between the server and the deaf viewer is full."""
    full_since = time.monotonic()

    def is_full() -> bool:
        nonlocal full_since
        agent.samples(*[0.5] * ROWS_AT_ONCE, catalogue=WIDE)
        if not backlog(server):
            full_since = time.monotonic()
        return time.monotonic() - full_since > 0.5

    wait_until(is_full, "a viewer that is blocked")


@pytest.mark.slow
def test_a_deaf_viewer_is_cut_and_forgotten(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut after its time; its socket, and the megabytes that wait for it, are given back; others are not late."""
    monkeypatch.setattr("cybercorp.server.websocket.connection.SLOW_AFTER_S", 0.5)
    monkeypatch.setattr("cybercorp.server.websocket.transport.LINGER_S", 0.2)
    with server.agent("a") as agent, deaf_viewer(server, "a") as deaf, server.viewer() as other:
        agent.announce(WIDE)
        other.send("live.subscribe", Subscribe(subscription=1, topic=Topic.METRICS, host="a"))
        late = []

        def is_cut() -> bool:
            agent.samples(*[0.5] * ROWS_AT_ONCE, catalogue=WIDE)
            late.append(time.time() - other.expect(MetricsUpdate).timestamp_ms / 1000)
            return bool(server.get("/api/v1/server")["viewers_connected"] == 1)

        wait_until(is_cut, "the end of the deaf viewer")
        assert max(late) < 1.0

        def is_reset() -> bool:
            try:
                return not deaf.send(b"\x00")
            except OSError:
                return True

        wait_until(is_reset, "the reset of its connection")


@pytest.mark.slow
def test_a_deaf_viewer_does_not_hold_up_the_end(server: ServerThread) -> None:
    """The server stops in less than three seconds although somebody reads nothing of what it sent."""
    with server.agent("a") as agent, deaf_viewer(server, "a"):
        agent.announce(WIDE)
        server.wait_for_event(EventKind.HOST_CONNECTED, "a")
        block(server, agent)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 3.0
