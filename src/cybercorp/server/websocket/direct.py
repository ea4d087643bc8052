"""The short way for agents' messages: from the socket's bytes to a function, without queue, task and pause.

uvicorn hands every message over through a queue, pauses the socket and wakes a task; an agent sends one small message
a second, and ten thousand of them send little else. After the greeting, which goes the ordinary way, a handler may take
the connection over: whole binary messages go to its function at once. Everything else (pings, closing, fragments, what
breaks the protocol) stays with the library.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litestar import WebSocket
from websockets.http11 import Request
from websockets.protocol import State

from cybercorp.server.services.allowance import Allowance
from cybercorp.server.websocket.frames import FrameSplitter
from cybercorp.server.websocket.transport import LingeringProtocol

_EXTENSION = "cybercorp.direct"
_SHORT_BYTES = 126
_MAX_SENT_NOW = 1 << 16
TOLD_S = 1.0
CLOSE_S = 5.0  # that a peer has for its part of the closing handshake
# An agent sends 20 messages a second, five times that while it catches up; the load generator 3,000 at full speed.
FRAMES_AT_ONCE, FRAMES_A_SECOND = 10_000, 4_000
_NO_LIMIT = 1 << 62
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class DirectProtocol(LingeringProtocol):
    """uvicorn's protocol with a way around its queue."""

    _splitter: FrameSplitter | None = None
    heard = False  # whether anything came since somebody set it back: a ping, too, tells that the peer lives

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.close_timeout = CLOSE_S

    def handle_connect(self, event: Request) -> None:
        """The application finds this connection among the extensions of its scope."""
        super().handle_connect(event)
        if hasattr(self, "scope"):  # else the handshake was refused
            self.scope["extensions"] = {**(self.scope["extensions"] or {}), _EXTENSION: self}  # type: ignore[dict-item]
            allowance = Allowance(FRAMES_AT_ONCE, FRAMES_A_SECOND)
            self._splitter = FrameSplitter(
                super().data_received,
                max_bytes=self.config.ws_max_size or _NO_LIMIT,
                may=lambda: allowance.take(self.loop.time()),
                on_flood=self._end_flood,
            )

    def take_over(self, take: Callable[[bytes], None]) -> bool:
        """Whole binary messages go to `take` from now on; False while some wait in the queue: read those first."""
        if self._splitter is None or not self.queue.empty() or self.frames:
            return False
        self._splitter.on_message = take
        return True

    def send_now(self, message: bytes) -> bool:
        """Write a short binary message; False where it would have to wait: the connection is slow, or ends."""
        size = len(message)
        if size >= _MAX_SENT_NOW or not self.writable.is_set() or self.close_sent or self.disconnected:
            return False
        if self.transport.is_closing() or self.conn.state is not State.OPEN:
            return False
        head = bytes((0x82, size)) if size < _SHORT_BYTES else b"\x82\x7e" + size.to_bytes(2, "big")
        self.transport.write(head + message)
        return True

    def handle_ping(self) -> None:
        """Answer it, unless the peer reads no answers: a pong for each ping would wait here without end."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def send_receive_event_to_app(self) -> None:
        """A whole message. A text that is not UTF-8 is closed for with 1007, without a word in the log."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self._fail(1007, "the text is not UTF-8")
                return
        super().send_receive_event_to_app()

    def _end_flood(self) -> None:
        self._fail(1008, f"limit_exceeded: more than {FRAMES_A_SECOND} frames a second")

    def _fail(self, code: int, reason: str) -> None:
        """Close for what the peer did, and tell the handler; a peer that was told already is cut."""
        if self.conn.state is State.OPEN and not self.close_sent:
            self.conn.fail(code, reason)
            self.handle_parser_exception()
        else:
            self.transport.abort()

    def handle_parser_exception(self) -> None:
        """The connection is over, and why is said; what still comes is not read.

        Closed at once, what is unread would reset the connection, and the peer would not learn why (RFC 1122, section
        4.2.2.13).
        """
        close = self.conn.close_sent
        assert close is not None
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.read_paused = False  # so that nobody reads on
        self.transport.pause_reading()
        self.close_timer = self.loop.call_later(TOLD_S, self.transport.close)

    def data_received(self, data: bytes) -> None:
        """Bytes from the socket."""
        self.heard = True
        if self._splitter is not None:
            self._splitter.feed(data)
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # The library has a limit of its own for a line of the request, and waits for the peer to go away.
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    async def send(self, message: Any) -> None:
        """What the application sends. A refusal that was sent whole is a handshake that is over, and no error."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True


def direct_of(socket: WebSocket[Any, Any, Any]) -> DirectProtocol | None:
    """The connection behind a socket, where the server offers it."""
    found = (socket.scope.get("extensions") or {}).get(_EXTENSION)
    return found if isinstance(found, DirectProtocol) else None
