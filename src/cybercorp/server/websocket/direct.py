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

from cybercorp.server.websocket.frames import FrameSplitter
from cybercorp.server.websocket.transport import LingeringProtocol

_EXTENSION = "cybercorp.direct"
_SHORT_BYTES = 126
_MAX_SENT_NOW = 1 << 16
_NO_LIMIT = 1 << 62
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class DirectProtocol(LingeringProtocol):
    """uvicorn's protocol with a way around its queue."""

    _splitter: FrameSplitter | None = None
    heard = False  # whether anything came since somebody set it back: a ping, too, tells that the peer lives

    def handle_connect(self, event: Request) -> None:
        """The application finds this connection among the extensions of its scope."""
        super().handle_connect(event)
        if hasattr(self, "scope"):  # else the handshake was refused
            self.scope["extensions"] = {**(self.scope["extensions"] or {}), _EXTENSION: self}  # type: ignore[dict-item]
            self._splitter = FrameSplitter(super().data_received, max_bytes=self.config.ws_max_size or _NO_LIMIT)

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
