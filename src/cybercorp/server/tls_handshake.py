"""From an accepted connection to TLS: what is slow, silent or no TLS at all never gets as far as OpenSSL.

uvicorn's listener would begin TLS at once and wait for a minute. Here a connection waits in the row of all that have
not sent a request (`waiting`) from the moment it is accepted; TLS begins when its first record is whole. One deadline
holds for the handshake and the head of the first request together.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from cybercorp.server.http_protocol import GuardedProtocol
from cybercorp.server.waiting import Waiting

_HEADER_BYTES = 5
_MAX_RECORD = 1 << 14
_HANDSHAKE, _MAJOR_VERSION = 22, 3


class TlsHandshake(asyncio.Protocol):
    """One connection until TLS stands; then GuardedProtocol has it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        context: ssl.SSLContext,
        waiting: Waiting,
    ) -> None:
        self._make: Callable[[], GuardedProtocol] = lambda: GuardedProtocol(
            config, server_state, app_state, _loop, waiting=waiting
        )
        self._connections: set[Any] = server_state.connections
        self._context = context
        self._waiting = waiting
        self._loop = _loop or asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._deadline: asyncio.TimerHandle
        self._due = 0.0
        self._number = -1
        self._begun = bytearray()
        self._handshake: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The clock runs from here."""
        self._transport = transport
        self._connections.add(self)
        self._due = self._loop.time() + self._waiting.head_s
        self._deadline = self._loop.call_at(self._due, self._end)
        self._number = self._waiting.enter(self._end)

    def data_received(self, data: bytes) -> None:
        """Bytes of the first record, which is the ClientHello (RFC 8446, section 5.1)."""
        self._begun += data
        if not _may_be_hello(self._begun):
            self._transport.close()
        elif len(self._begun) >= _HEADER_BYTES + int.from_bytes(self._begun[3:5], "big") > _HEADER_BYTES:
            if not self._waiting.secure(self._number, self._loop.time()):
                self._transport.abort()
                return
            self._transport.pause_reading()
            self._handshake = self._loop.create_task(self._secure())
            self._loop.call_soon(self._replay, 2)

    def connection_lost(self, exc: Exception | None) -> None:
        """It went before TLS began."""
        self._leave()

    def shutdown(self) -> None:
        """The server stops; uvicorn calls this of every connection."""
        self._end()

    def _replay(self, turns: int) -> None:
        """Hand what was read to the protocol that `start_tls` has put in place, as soon as it knows its transport.

        `start_tls` begins in the loop's next turn and connects its protocol in the one after it, before it reads on.
        """
        protocol: Any = self._transport.get_protocol()
        if protocol is self or turns > 1:
            if not self._transport.is_closing():
                self._loop.call_soon(self._replay, 2 if protocol is self else turns - 1)
            return
        data = memoryview(bytes(self._begun))
        self._begun.clear()
        while data and not self._transport.is_closing():
            room = protocol.get_buffer(len(data))
            size = min(len(room), len(data))
            room[:size] = data[:size]
            protocol.buffer_updated(size)
            data = data[size:]

    async def _secure(self) -> None:
        held = _Held()
        try:
            secured = await self._loop.start_tls(
                self._transport, held, self._context, server_side=True, ssl_handshake_timeout=self._waiting.head_s
            )
        except (OSError, ssl.SSLError):  # it speaks no TLS 1.3, went away, or was ended for being late
            secured = None
        finally:
            self._leave(stays=True)
        if secured is None or held.lost or self._transport.is_closing():
            self._waiting.leave(self._number)
            self._transport.abort()
            return
        protocol = self._make()
        protocol.waited_since(self._number, self._due)
        secured.set_protocol(protocol)
        protocol.connection_made(secured)
        if held.data:
            protocol.data_received(bytes(held.data))

    def _end(self) -> None:
        """Late, or one too many: before TLS stands nothing can be said."""
        self._transport.abort()

    def _leave(self, *, stays: bool = False) -> None:
        self._connections.discard(self)
        self._deadline.cancel()
        if not stays:
            self._waiting.leave(self._number)


class _Held(asyncio.Protocol):
    """Who gets what is decrypted until the protocol of the connection is there, a turn of the loop later."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


def _may_be_hello(begun: bytearray) -> bool:
    """Whether these first bytes can be those of a handshake record of a lawful length."""
    wrong_kind = begun[:1] != bytes((_HANDSHAKE,)) or (len(begun) > 1 and begun[1] != _MAJOR_VERSION)
    length = int.from_bytes(begun[3:5], "big") if len(begun) >= _HEADER_BYTES else 1
    return not wrong_kind and 0 < length <= _MAX_RECORD
