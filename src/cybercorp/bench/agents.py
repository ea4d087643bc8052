"""Simulated agents: real greeting, real catalogue, one frame a row, and what is not acknowledged is waited for."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from cybercorp.bench.figures import Figures
from cybercorp.bench.recording import body, catalogue
from cybercorp.bench.wire import BINARY, CLOSE, PING, PONG, ServerFrames, frame, frame_head, handshake
from cybercorp.core.ids import new_id
from cybercorp.core.version import VERSION
from cybercorp.protocol.agents import (
    Acknowledge,
    AnnounceCatalogue,
    Hello,
    Record,
    Records,
    RecordType,
    Refuse,
    Welcome,
)
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.problems import Problem
from cybercorp.protocol.registry import Codec

_CODEC = Codec()
_MARK_SEQ, _MARK_TIME = 1 << 40, (1 << 41) + 1  # numbers that MessagePack writes in nine bytes
_UINT64 = b"\xcf"


def facts_of(index: int) -> HostFacts:
    """What agent number `index` says of its host, when it joins and when it connects."""
    return HostFacts(hostname=f"bench-{index:05}", os_type="linux", cpu_count=2)


class RowFrames:
    """Frames of one row: everything that never changes is encoded once."""

    def __init__(self) -> None:
        marked = Record(_MARK_SEQ, _MARK_TIME, RecordType.SAMPLES, catalogue().id, body(0, 0))
        message = _CODEC.encode("agent.records", Records(records=[marked]))
        head, _, rest = message.partition(_UINT64 + _MARK_SEQ.to_bytes(8, "big"))
        nothing, _, tail = rest.partition(_UINT64 + _MARK_TIME.to_bytes(8, "big"))
        if nothing:
            raise ValueError("a record is not encoded as sequence number and time")
        before, _, after = tail.partition(body(0, 0))
        self._head = frame_head(len(message)) + head + _UINT64
        self._before, self._after = before, after

    def row(self, seq: int, timestamp_ms: int, values: bytes) -> bytes:
        """The frame of one row."""
        return b"".join(
            (
                self._head,
                seq.to_bytes(8, "big"),
                _UINT64,
                timestamp_ms.to_bytes(8, "big"),
                self._before,
                values,
                self._after,
            )
        )


class SimulatedAgent(asyncio.Protocol):
    """One agent. `on_acknowledged` is called after every acknowledgement; `ready` is done when it was welcomed."""

    def __init__(
        self, index: int, address: str, token: str, interval_ms: int, frames: RowFrames, figures: Figures
    ) -> None:
        self.index = index
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_acknowledged: Callable[[SimulatedAgent], None] = lambda agent: None
        self.sent = 0
        self.acked = 0
        self.closed = False
        self._address = address
        self._token = token
        self._interval_ms = interval_ms
        self._rows = frames
        self._figures = figures
        self._frames = ServerFrames()
        self._waiting: deque[tuple[int, float]] = deque()
        self._transport: asyncio.Transport

    def send(self, timestamp_ms: int) -> None:
        """The next row, stamped so."""
        if self.closed:
            return
        self.sent += 1
        self._figures.sent += 1
        self._waiting.append((self.sent, time.perf_counter()))
        self._transport.write(self._rows.row(self.sent, timestamp_ms, body(self.index, self.sent)))

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
        transport.write(handshake("/api/v1/agents/connect", self._address, self._token))

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
                self._end(f"closed with {int.from_bytes(payload[:2], 'big')} {payload[2:].decode('utf-8', 'replace')}")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; unless we closed it, that is a failure."""
        self._end(f"the connection was lost ({exc})")

    def _opened(self, head: bytes) -> None:
        status = head.split(b"\r\n", 1)[0].decode("latin-1")
        if " 101 " not in status:
            self._end(f"refused: {status}")
            return
        hello = Hello(
            version=VERSION,
            stream=new_id("s"),
            oldest_seq=0,
            newest_seq=0,
            interval_ms=self._interval_ms,
            clock_ms=time.time_ns() // 1_000_000,
            facts=facts_of(self.index),
        )
        announced = AnnounceCatalogue(id=catalogue().id, series=catalogue().series)
        self._transport.write(
            frame(_CODEC.encode("agent.hello", hello)) + frame(_CODEC.encode("agent.catalogue", announced))
        )

    def _heard(self, payload: bytes) -> None:
        message = _CODEC.decode(payload).payload
        if isinstance(message, Acknowledge):
            self._acknowledged(message.seq)
        elif isinstance(message, Welcome):
            if not self.ready.done():
                self._figures.connected += 1
                self.ready.set_result(None)
        elif isinstance(message, Refuse):
            self._figures.refused += 1
            self._figures.fail(f"agent {self.index}: {message.code}: {message.detail}")
        elif isinstance(message, Problem):
            self._figures.fail(f"agent {self.index}: {message.code}: {message.detail}")

    def _acknowledged(self, seq: int) -> None:
        now = time.perf_counter()
        while self._waiting and self._waiting[0][0] <= seq:
            self._figures.acknowledgement.add(now - self._waiting.popleft()[1])
            self._figures.acknowledged += 1
        self.acked = seq
        self.on_acknowledged(self)

    def _end(self, why: str) -> None:
        if self.closed:
            return
        self.closed = True
        self._figures.fail(f"agent {self.index}: {why}")
        self._transport.close()
        if not self.ready.done():
            self.ready.set_result(None)
        self.on_acknowledged(self)
