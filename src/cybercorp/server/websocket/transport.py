"""uvicorn's WebSocket transport with an end: a peer that reads nothing cannot hold a closed connection open.

`transport.close` waits until everything that was written is read. A viewer that is suspended, or hostile, never reads
it: without a limit its socket stays for as long as it likes, and holds up the stop of the server.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LINGER_S = 10.0
STOP_LINGER_S = 1.0
_RESET = struct.pack("ii", 1, 0)  # on, zero seconds


class LingeringProtocol(WebSocketsSansIOProtocol):
    """What was written before the end has `LINGER_S` to be read, `STOP_LINGER_S` when the server stops."""

    async def send(self, message: Any) -> None:
        """What the application sends. A close does not wait until a slow peer has read what came before it."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)

    async def run_asgi(self) -> None:
        """Serve the connection; afterwards nobody writes to it any more."""
        try:
            await super().run_asgi()
        finally:
            self._cut_later(LINGER_S)

    def shutdown(self) -> None:
        """The server stops."""
        super().shutdown()
        self._cut_later(STOP_LINGER_S)

    def _cut_later(self, delay_s: float) -> None:
        # A transport of asyncio over TLS that is lost cannot be asked any more.
        if not self.disconnected and self.transport.get_write_buffer_size():
            self.loop.call_later(delay_s, self._cut)

    def _cut(self) -> None:
        if self.disconnected:
            return
        connection = self.transport.get_extra_info("socket")
        if connection is not None:  # by a reset the kernel forgets what it still holds for the peer (socket(7))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()
