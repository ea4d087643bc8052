"""Simulated agents that keep a ledger: what was sent, what was acknowledged; and the checker that compares it with what
a server gives back. An agent behaves like the real one: it keeps what is not acknowledged and sends it again."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from cybercorp.core.ids import new_id
from cybercorp.core.version import VERSION
from cybercorp.protocol.agents import AnnounceCatalogue, Challenge, Hello, Record, Records, RecordType
from cybercorp.protocol.metrics import MetricKind, Series, make_catalogue
from cybercorp.protocol.registry import Codec
from cybercorp.protocol.servers import SUBPROTOCOL_MSGPACK
from cybercorp.security.agent_keys import server_key
from tests.joined import headers_of, proof_of

STEP_MS = 100
METRIC = "ledger.value"
CATALOGUE = make_catalogue([Series(name=METRIC), Series(name="ledger.count", kind=MetricKind.COUNTER)])
RETRY_S = 0.1


def value_of(agent: int, seq: int) -> float:
    """What agent number `agent` sends as its row `seq`: no two rows are equal."""
    return agent * 1_000_000.0 + seq + 0.5


@dataclass
class LedgerAgent:
    """One simulated agent. `sent` and `acked` are the highest sequence numbers of its one stream."""

    number: int
    url: str
    token: str
    start_ms: int
    context: ssl.SSLContext | None = None
    stream: str = field(default_factory=lambda: new_id("s"))
    sent: int = 0
    acked: int = 0
    connections: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Send ten rows a second, through every cut, until told to stop; then until everything is acknowledged."""
        while not (stop.is_set() and self.acked == self.sent):
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                async with connect(
                    self.url.replace("http", "ws", 1) + "/api/v1/agents/connect",
                    additional_headers=headers_of(self.token),
                    subprotocols=[Subprotocol(SUBPROTOCOL_MSGPACK)],
                    compression=None,
                    open_timeout=2,
                    close_timeout=0.2,
                    ssl=self.context,
                ) as socket:
                    await self._talk(socket, stop)
            await asyncio.sleep(RETRY_S)

    async def _talk(self, socket: ClientConnection, stop: asyncio.Event) -> None:
        codec = Codec()
        challenge = codec.decode(await asyncio.wait_for(socket.recv(), 5)).payload
        if not isinstance(challenge, Challenge):
            return
        secure = socket.transport.get_extra_info("ssl_object")
        seen = server_key(secure.getpeercert(True)) if secure is not None else ""
        await socket.send(codec.encode("agent.proof", proof_of(self.token, challenge.nonce, seen)))
        hello = Hello(
            version=VERSION,
            stream=self.stream,
            oldest_seq=self.acked + 1,
            newest_seq=self.sent,
            interval_ms=STEP_MS,
            clock_ms=time.time_ns() // 1_000_000,
        )
        await socket.send(codec.encode("agent.hello", hello))
        while (message := codec.decode(await asyncio.wait_for(socket.recv(), 5))).kind != "agent.welcome":
            if message.kind == "problem":
                return
        self.connections += 1
        self.acked = max(self.acked, message.payload.acked_seq)
        await socket.send(codec.encode("agent.catalogue", AnnounceCatalogue(id=CATALOGUE.id, series=CATALOGUE.series)))
        reader = asyncio.create_task(self._read(socket, codec))
        try:
            again = list(range(self.acked + 1, self.sent + 1))
            while not reader.done() and not (stop.is_set() and self.acked == self.sent):
                if not stop.is_set():
                    self.sent += 1
                    again.append(self.sent)
                if again:
                    rows = [self._row(seq) for seq in again]
                    again = []
                    await socket.send(codec.encode("agent.records", Records(records=rows)))
                await asyncio.sleep(STEP_MS / 1000)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, socket: ClientConnection, codec: Codec) -> None:
        async for data in socket:
            message = codec.decode(data)
            if message.kind == "agent.acknowledge":
                self.acked = max(self.acked, message.payload.seq)

    def _row(self, seq: int) -> Record:
        body = struct.pack("<dd", value_of(self.number, seq), float(seq))
        return Record(seq, self.start_ms + seq * STEP_MS, RecordType.SAMPLES, CATALOGUE.id, body)


def check_ledger(
    agents: Sequence[LedgerAgent], stored: Mapping[int, Sequence[float | None]], samples_total: int
) -> list[str]:
    """What is wrong, one sentence each. `stored[n][i]` is what the server has of agent n's row i + 1.

    acknowledged ⊆ stored ⊆ sent, values equal, no hole, and nothing twice (`samples_total` over all hosts).
    """
    findings, rows = [], 0
    for agent in agents:
        values = stored[agent.number]
        known = [seq for seq, value in enumerate(values, start=1) if value is not None]
        rows += len(known)
        missing = sorted(set(range(1, agent.acked + 1)) - set(known))
        if missing:
            findings.append(
                f"agent {agent.number}: {len(missing)} acknowledged rows are lost, the first is {missing[0]}"
            )
        if known and known[-1] > agent.sent:
            findings.append(f"agent {agent.number}: row {known[-1]} is stored and was never sent")
        if known != list(range(1, len(known) + 1)):
            findings.append(f"agent {agent.number}: the history has a hole")
        wrong = [seq for seq in known if values[seq - 1] != value_of(agent.number, seq)]
        if wrong:
            findings.append(f"agent {agent.number}: {len(wrong)} rows have another value, the first is {wrong[0]}")
    if samples_total != rows * len(CATALOGUE.series):
        findings.append(f"{samples_total} samples are stored for {rows} rows: some are stored twice or not at all")
    return findings
