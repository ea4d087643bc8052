"""What simulated agents and viewers share: a WebSocket of the least kind, its opening, its end."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from cybercorp.bench.figures import Figures
from cybercorp.bench.wire import BINARY, CLOSE, PING, PONG, ServerFrames, frame, handshake
from cybercorp.protocol.registry import Codec

CODEC = Codec()


class SimulatedConnection(asyncio.Protocol):
    """One end of a WebSocket at `path`. Whatever ends it before `close` is a failure of `name`."""

    path = ""

    def __init__(self, name: str, address: str, authorization: str, figures: Figures) -> None:
        self.closed = False
        self._name = name
        self._address = address
        self._authorization = authorization
        self._figures = figures
        self._frames = ServerFrames()
        self._transport: asyncio.Transport

    def itself(self) -> Self:
        """The protocol of the connection that is being opened."""
        return self

    def opened(self) -> None:
        """The WebSocket is open: say what there is to say first."""
        raise NotImplementedError

    def heard(self, payload: Any) -> None:
        """A message of the server, decoded."""
        raise NotImplementedError

    def ended(self) -> None:
        """The connection failed."""

    def say(self, kind: str, payload: Any) -> None:
        """Send one message."""
        self._transport.write(frame(CODEC.encode(kind, payload)))

    def ping(self) -> None:
        """Tell the server that we live, while there is nothing to send."""
        if not self.closed:
            self._transport.write(frame(b"", PING))

    def close(self) -> None:
        """Say goodbye."""
        if not self.closed:
            self.closed = True
            self._transport.write(frame((1000).to_bytes(2, "big"), CLOSE))
            self._transport.close()

    def connection_made(self, transport: Any) -> None:
        """Connected: ask for the WebSocket."""
        self._transport = transport
        transport.write(handshake(self.path, self._address, self._authorization))

    def data_received(self, data: bytes) -> None:
        """What the server says."""
        for opcode, payload in self._frames.feed(data):
            if opcode == BINARY:
                self.heard(CODEC.decode(payload).payload)
            elif opcode == 0:
                self._answered(payload)
            elif opcode == PING:
                self._transport.write(frame(payload, PONG))
            elif opcode == CLOSE:
                code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace")
                self._fail(f"closed with {code} {reason}".rstrip())

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; unless we closed it, that is a failure."""
        self._fail(f"the connection was lost ({exc})")

    def _answered(self, head: bytes) -> None:
        status = head.split(b"\r\n", 1)[0].decode("latin-1")
        if " 101 " in status:
            self.opened()
        else:
            self._fail(f"refused: {status}")

    def _fail(self, why: str) -> None:
        if not self.closed:
            self.closed = True
            self._figures.fail(f"{self._name}: {why}")
            self._transport.close()
            self.ended()
