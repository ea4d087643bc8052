"""A fake server that speaks the real codec on a real socket, for the faults that a real server does not show on demand.

It stores what agents send, acknowledges as told, answers viewers, and can refuse, fall silent or cut.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from cybercorp.client.addresses import AGENT_PATH
from cybercorp.core.version import VERSION
from cybercorp.protocol.agents import Acknowledge, AnnounceCatalogue, Challenge, Hello, Record, Records, Refuse, Welcome
from cybercorp.protocol.problems import Problem
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.registry import Codec
from cybercorp.protocol.servers import MAX_MESSAGE_BYTES, PROTOCOL_HEADER, SUBPROTOCOL_MSGPACK

ResultT = TypeVar("ResultT")
DEADLINE_S = 10.0


class FakeServer:
    """`with FakeServer() as server:` listens on a free port of 127.0.0.1, in a thread of its own.

    Knobs may be turned at any time: `acknowledging`, `refusing`, `rejecting` (a problem instead of the handshake),
    `subprotocol`, `greeting` (False: never says welcome), `viewer` (what to do with a viewer's message).
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.acknowledging = True
        self.refusing: Refuse | None = None
        self.rejecting: Problem | None = None
        self.subprotocol = SUBPROTOCOL_MSGPACK
        self.greeting = True
        self.welcome_acked: int | None = None
        self.viewer: Callable[[FakeServer, ServerConnection, str, Any], Coroutine[Any, Any, None]] | None = None
        self.hellos: list[Hello] = []
        self.catalogues: dict[str, AnnounceCatalogue] = {}
        self.records: dict[tuple[str, int], Record] = {}
        self.conflicts: list[int] = []  # numbers that came again and meant something else
        self.acked: dict[str, int] = {}
        self.tables: list[ProcessTable] = []
        self.viewer_messages: list[tuple[str, Any]] = []
        self.connections: set[ServerConnection] = set()
        self.tokens: list[str] = []
        self.codec = Codec()
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self) -> None:
        """Listen (again, on the same port)."""
        self.run(self._start())

    def stop(self) -> None:
        """Stop listening and cut everybody."""
        self.run(self._stop())

    def run(self, call: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run a coroutine in the server's loop and wait for it."""
        future: Future[ResultT] = asyncio.run_coroutine_threadsafe(call, self._loop)
        return future.result(DEADLINE_S)

    def cut(self) -> None:
        """Abort every connection as a failing network does."""
        self.run(self._cut())

    def close_all(self, code: int, reason: str = "") -> None:
        """Close every connection in order with this code."""
        self.run(self._close_all(code, reason))

    def send(self, kind: str, payload: Any) -> None:
        """Send one message to everybody."""
        self.run(self._send(self.codec.encode(kind, payload)))

    def send_bytes(self, data: bytes) -> None:
        """Send anything at all to everybody."""
        self.run(self._send(data))

    def wait_for(self, condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
        """Wait until `condition()` holds; fails after the deadline."""
        end = time.monotonic() + deadline_s
        with self._changed:
            while not condition():
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError("the fake server waited in vain")
                self._changed.wait(min(left, 0.25))

    def sequence(self, stream: str) -> list[int]:
        """The numbers of this stream that arrived, in order."""
        return sorted(seq for name, seq in self.records if name == stream)

    # -- in the loop -------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            subprotocols=[Subprotocol(self.subprotocol)] if self.subprotocol else None,
            process_request=self._check,
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            close_timeout=0.2,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def _stop(self) -> None:
        await self._cut()
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    async def _cut(self) -> None:
        for one in list(self.connections):
            one.transport.abort()

    async def _close_all(self, code: int, reason: str) -> None:
        for one in list(self.connections):
            await one.close(code, reason)

    async def _send(self, data: bytes) -> None:
        for one in list(self.connections):
            await one.send(data)

    def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        self.tokens.append(request.headers.get("Authorization", "").removeprefix("Bearer "))
        if self.rejecting is None:
            return None
        body = msgspec.json.encode(self.rejecting)
        status = HTTPStatus(self.rejecting.status)
        headers = Headers(
            [
                (PROTOCOL_HEADER, "1"),
                ("Content-Type", "application/problem+json"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
            ]
        )
        return Response(status.value, status.phrase, headers, body)

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.add(connection)
        self._notify()
        is_agent = connection.request is not None and connection.request.path == AGENT_PATH
        stream = ""
        try:
            if is_agent:
                await connection.send(self.codec.encode("agent.challenge", Challenge(nonce="00" * 32)))
            while True:
                message = self.codec.decode(await connection.recv())
                if is_agent:
                    stream = await self._agent_said(connection, stream, message.payload)
                else:
                    self.viewer_messages.append((message.kind, message.payload))
                    if self.viewer is not None:
                        await self.viewer(self, connection, message.kind, message.payload)
                self._notify()
        except ConnectionClosed:
            pass
        finally:
            self.connections.discard(connection)
            self._notify()

    async def _agent_said(self, connection: ServerConnection, stream: str, payload: Any) -> str:
        if isinstance(payload, Hello):
            stream = payload.stream
            self.hellos.append(payload)
            if self.greeting:
                await connection.send(self.codec.encode("agent.welcome", self._welcome(stream)))
        elif isinstance(payload, AnnounceCatalogue):
            self.catalogues[payload.id] = payload
        elif isinstance(payload, ProcessTable):
            self.tables.append(payload)
        elif isinstance(payload, Records):
            await self._store(connection, stream, payload.records)
        return stream

    def _welcome(self, stream: str) -> Welcome:
        acked = self.acked.get(stream, 0) if self.welcome_acked is None else self.welcome_acked
        now_ms = time.time_ns() // 1_000_000
        return Welcome(host_id="host_1", name="fake", acked_seq=acked, clock_ms=now_ms, version=VERSION)

    async def _store(self, connection: ServerConnection, stream: str, records: list[Record]) -> None:
        if self.refusing is not None:
            await connection.send(self.codec.encode("agent.refuse", self.refusing))
            return
        for record in records:
            if self.records.setdefault((stream, record.seq), record) != record:
                self.conflicts.append(record.seq)
        if self.acknowledging and records:
            self.acked[stream] = max(self.acked.get(stream, 0), records[-1].seq)
            await connection.send(self.codec.encode("agent.acknowledge", Acknowledge(seq=self.acked[stream])))

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
