"""Simulated viewers: a window of the fleet and every row of one host, as an open dashboard asks for them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from cybercorp.bench.figures import Figures
from cybercorp.bench.wire import BINARY, CLOSE, PING, PONG, ServerFrames, frame, handshake
from cybercorp.protocol.hosts import HostSort
from cybercorp.protocol.live import HostsUpdate, MetricsUpdate, Subscribe, Topic
from cybercorp.protocol.problems import Problem
from cybercorp.protocol.registry import Codec

WINDOW_ROWS = 40
_CODEC = Codec()


class SimulatedViewer(asyncio.Protocol):
    """One viewer. A delivery is counted from the agent's stamp to now: both ends are on one machine."""

    def __init__(self, index: int, address: str, token: str, host: str, figures: Figures) -> None:
        self._index = index
        self._address = address
        self._token = token
        self._host = host
        self._figures = figures
        self._frames = ServerFrames()
        self._transport: asyncio.Transport
        self._first = True
        self._closed = False

    def itself(self) -> SimulatedViewer:
        """The protocol of the connection that is being opened."""
        return self

    def close(self) -> None:
        """Say goodbye."""
        if not self._closed:
            self._closed = True
            self._transport.write(frame((1000).to_bytes(2, "big"), CLOSE))
            self._transport.close()

    def connection_made(self, transport: Any) -> None:
        """Connected: ask for the WebSocket."""
        self._transport = transport
        transport.write(handshake("/api/v1/live", self._address, self._token))

    def data_received(self, data: bytes) -> None:
        """What the server says."""
        for opcode, payload in self._frames.feed(data):
            if opcode == BINARY:
                self._heard(payload)
            elif opcode == 0:
                self._opened(payload)
            elif opcode == PING:
                self._transport.write(frame(payload, PONG))
            elif opcode == CLOSE:
                self._end(f"closed with {int.from_bytes(payload[:2], 'big')}")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; unless we closed it, that is a failure."""
        self._end(f"the connection was lost ({exc})")

    def _opened(self, head: bytes) -> None:
        status = head.split(b"\r\n", 1)[0].decode("latin-1")
        if " 101 " not in status:
            self._end(f"refused: {status}")
            return
        fleet = Subscribe(subscription=1, topic=Topic.HOSTS, sort=HostSort.CPU, descending=True, limit=WINDOW_ROWS)
        samples = Subscribe(subscription=2, topic=Topic.METRICS, host=self._host)
        for one in (fleet, samples):
            self._transport.write(frame(_CODEC.encode("live.subscribe", one)))

    def _heard(self, payload: bytes) -> None:
        message = _CODEC.decode(payload).payload
        if isinstance(message, MetricsUpdate):
            if not self._first:  # the first is the newest row at the subscription, as old as it is
                self._figures.delivery.add(max(0.0, time.time() - message.timestamp_ms / 1000))
                self._figures.delivered += 1
            self._first = False
        elif isinstance(message, HostsUpdate):
            self._figures.windows += 1
        elif isinstance(message, Problem):
            self._figures.fail(f"viewer {self._index}: {message.code}: {message.detail}")

    def _end(self, why: str) -> None:
        if not self._closed:
            self._closed = True
            self._figures.fail(f"viewer {self._index}: {why}")
            self._transport.close()
