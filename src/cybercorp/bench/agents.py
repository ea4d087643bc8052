"""Simulated agents: real proof, greeting and catalogue, one frame a row, and what is not acknowledged is waited for."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from cybercorp.bench.connections import CODEC, SimulatedConnection
from cybercorp.bench.figures import Figures
from cybercorp.bench.recording import body, catalogue
from cybercorp.bench.wire import frame_head
from cybercorp.core.ids import new_id
from cybercorp.core.version import VERSION
from cybercorp.protocol.agents import (
    Acknowledge,
    AnnounceCatalogue,
    Challenge,
    Confirm,
    Hello,
    Proof,
    Record,
    Records,
    RecordType,
    Refuse,
    Welcome,
)
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.problems import Problem
from cybercorp.security.agent_keys import server_key, sign_proof

_MARK_SEQ, _MARK_TIME = 1 << 40, (1 << 41) + 1  # numbers that MessagePack writes in nine bytes
_UINT64 = b"\xcf"


def facts_of(index: int) -> HostFacts:
    """What agent number `index` says of its host, when it joins and when it connects."""
    return HostFacts(hostname=f"bench-{index:05}", os_type="linux", cpu_count=2)


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent keeps: the host it joined as, its key (Ed25519, hex), and the generation it was handed last."""

    host_id: str
    private_key: str
    generation: int = 1
    mark: str = ""

    def __repr__(self) -> str:
        return f"Identity({self.host_id}, {self.generation})"


class RowFrames:
    """Frames of one row: everything that never changes is encoded once."""

    def __init__(self) -> None:
        marked = Record(_MARK_SEQ, _MARK_TIME, RecordType.SAMPLES, catalogue().id, body(0, 0))
        message = CODEC.encode("agent.records", Records(records=[marked]))
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


class SimulatedAgent(SimulatedConnection):
    """One agent. `on_acknowledged` is called after every acknowledgement; `ready` is done when it was welcomed."""

    path = "/api/v1/agents/connect"

    def __init__(
        self, index: int, address: str, identity: Identity, interval_ms: int, frames: RowFrames, figures: Figures
    ) -> None:
        super().__init__(f"agent {index}", address, f"Agent-Key {identity.host_id}", figures)
        self.index = index
        self.identity = identity
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.on_acknowledged: Callable[[SimulatedAgent], None] = lambda agent: None
        self.stream = new_id("s")
        self.sent = 0
        self.acked = 0
        self._interval_ms = interval_ms
        self._rows = frames
        self._waiting: deque[tuple[int, float]] = deque()

    def send(self, timestamp_ms: int) -> None:
        """The next row, stamped so."""
        if self.closed:
            return
        self.sent += 1
        self._figures.sent += 1
        self._waiting.append((self.sent, time.perf_counter()))
        self._transport.write(self._rows.row(self.sent, timestamp_ms, body(self.index, self.sent)))

    def opened(self) -> None:
        """The server's challenge comes first."""

    def prove(self, nonce: str) -> None:
        """Sign the challenge, for the certificate that is seen, if any."""
        one, secure = self.identity, self._transport.get_extra_info("ssl_object")
        seen = server_key(secure.getpeercert(True)) if secure is not None else ""
        signed = sign_proof(one.private_key, nonce, one.host_id, one.generation, seen, one.mark)
        proof = Proof(host_id=one.host_id, generation=one.generation, server_key=seen, signature=signed, mark=one.mark)
        self.say("agent.proof", proof)

    def greet(self) -> None:
        """Say hello, and announce the catalogue."""
        hello = Hello(
            version=VERSION,
            stream=self.stream,
            oldest_seq=0,
            newest_seq=0,
            interval_ms=self._interval_ms,
            clock_ms=time.time_ns() // 1_000_000,
            facts=facts_of(self.index),
        )
        self.say("agent.hello", hello)
        self.say("agent.catalogue", AnnounceCatalogue(id=catalogue().id, series=catalogue().series))

    def heard(self, payload: Any) -> None:
        """An acknowledgement, most of the time."""
        if isinstance(payload, Acknowledge):
            self._acknowledged(payload.seq)
        elif isinstance(payload, Challenge):
            self.prove(payload.nonce)
            self.greet()
        elif isinstance(payload, Welcome):
            if payload.generation:
                self.identity = msgspec.structs.replace(self.identity, generation=payload.generation, mark=payload.mark)
                self.say("agent.confirm", Confirm(generation=payload.generation))
            self._figures.connected += 1
            self._is_ready()
        elif isinstance(payload, Refuse | Problem):
            self._figures.refused += isinstance(payload, Refuse)
            self._figures.fail(f"{self._name}: {payload.code}: {payload.detail}")

    def ended(self) -> None:
        """Nobody waits for it any more."""
        self._is_ready()
        self.on_acknowledged(self)

    def _is_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)

    def _acknowledged(self, seq: int) -> None:
        now = time.perf_counter()
        while self._waiting and self._waiting[0][0] <= seq:
            self._figures.acknowledgement.add(now - self._waiting.popleft()[1])
            self._figures.acknowledged += 1
        self.acked = seq
        self.on_acknowledged(self)
