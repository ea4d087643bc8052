"""The generator's WebSocket is one that the real library understands, both ways."""

import os

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from cybercorp.bench.agents import RowFrames
from cybercorp.bench.recording import body, catalogue
from cybercorp.bench.wire import BINARY, ServerFrames, frame, handshake
from cybercorp.protocol.agents import Record, Records, RecordType
from cybercorp.protocol.registry import Codec


def opened() -> ServerProtocol:
    """The library's end of a connection that the generator has opened."""
    server = ServerProtocol(subprotocols=None, max_size=1 << 20)
    server.receive_data(handshake("/api/v1/agents/connect", "127.0.0.1:1", "Agent-Key host_1"))
    (request,) = server.events_received()
    assert isinstance(request, Request)
    assert request.headers["Authorization"] == "Agent-Key host_1"
    server.send_response(server.accept(request))
    assert server.state is State.OPEN
    return server


def test_a_row_is_what_the_encoder_would_send() -> None:
    """Frames are put together from parts that were encoded once, and decode to the record that was meant."""
    server, codec = opened(), Codec()
    server.receive_data(RowFrames().row(7, 1_800_000_000_123, body(3, 7)))
    (received,) = server.events_received()
    assert isinstance(received, Frame)
    expected = Record(7, 1_800_000_000_123, RecordType.SAMPLES, catalogue().id, body(3, 7))
    assert codec.decode(bytes(received.data)).payload == Records(records=[expected])


@given(st.sampled_from([0, 1, 125, 126, 65_535, 65_536]))
def test_frames_of_every_size(size: int) -> None:
    """Short, wide and very wide lengths."""
    server, payload = opened(), os.urandom(size)
    server.receive_data(frame(payload))
    (received,) = server.events_received()
    assert isinstance(received, Frame)
    assert received.data == payload


@given(st.lists(st.tuples(st.sampled_from([1, 2, 9]), st.binary(max_size=300)), max_size=6), st.data())
def test_what_the_server_says_is_cut_anywhere(sent: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """However the bytes arrive, each frame comes out once."""
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket"
    payloads = [(opcode, payload[:125] if opcode == 9 else payload) for opcode, payload in sent]
    stream = head + b"\r\n\r\n"
    stream += b"".join(bytes(Frame(Opcode(opcode), payload).serialize(mask=False)) for opcode, payload in payloads)
    cut = data.draw(st.integers(0, len(stream)))
    frames = ServerFrames()
    assert frames.feed(stream[:cut]) + frames.feed(stream[cut:]) == [(0, head), *payloads]


def test_acknowledgements_are_binary() -> None:
    """What the server sends to agents has the opcode that the generator listens for."""
    assert BINARY == Opcode.BINARY
