"""uvicorn's HTTP with limits: how long a request may take to arrive, how large its head may be, how many may arrive.

Whoever opens a connection and says nothing, or says it a byte at a time, is answered 408 and closed; a head that is too
large gets 431. Over TLS the connection has waited before (`tls_handshake`), and its time goes on.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cybercorp.protocol.problems import PROBLEM_MEDIA_TYPE, TYPE_PREFIX, Problem
from cybercorp.protocol.servers import PROTOCOL_HEADER, PROTOCOL_VERSION
from cybercorp.server.waiting import Waiting

BODY_S = 10.0
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
_TITLES = {408: "Request Timeout", 431: "Request Header Fields Too Large"}


class GuardedProtocol(HttpToolsProtocol):
    """One connection. `waiting` are those of which no whole request head has arrived yet."""

    def __init__(self, *arguments: Any, waiting: Waiting, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting = waiting
        self._number = -1
        self._due: float | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_head = True
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The clock runs from here: silence is a request that does not arrive."""
        super().connection_made(transport)
        if self._due is not None:
            self._await(max(0.0, self._due - self.loop.time()))
            self._waiting.hand_on(self._number, self._give_way)
        else:
            self._await(self._waiting.head_s)
            self._number = self._waiting.enter(self._give_way)

    def waited_since(self, number: int, due: float) -> None:
        """It waits already, under this number; its head must be there by `due`, on the loop's clock."""
        self._number, self._due = number, due

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes from the socket; while the head arrives they are counted."""
        if self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._deadline is None:  # the next request of a connection that was kept
                self._await(self._waiting.head_s)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self._refused:
            self._refuse(431, f"The head of the request is larger than {MAX_HEAD_BYTES // 1024} KiB.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= MAX_HEADERS:
            self._refuse(431, f"The request has more than {MAX_HEADERS} header fields.")
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there; the body has its own time."""
        if self._refused:
            return
        self._in_head = False
        self._settle()
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            self._await(BODY_S)

    def on_message_complete(self) -> None:
        if self._refused:
            return
        self._settle()
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def handle_websocket_upgrade(self) -> None:
        """From here on it is a socket, with deadlines of its own."""
        self._settle()
        if not self._refused:
            super().handle_websocket_upgrade()

    def _await(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._late)

    def _settle(self) -> None:
        self._waiting.leave(self._number)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._refuse(408, "The request did not arrive in time.")

    def _give_way(self) -> None:
        self._refuse(408, "Too many connections wait; this one waited longest.")

    def _refuse(self, status: int, detail: str) -> None:
        """Say why, where nothing was said yet, and close."""
        self._refused = True
        self._settle()
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(_answer(status, detail))
        self.transport.close()
        self.loop.call_later(1.0, self.transport.abort)  # whoever does not read it is cut off


def _answer(status: int, detail: str) -> bytes:
    title = _TITLES[status]
    problem = Problem(
        type=f"{TYPE_PREFIX}limit_exceeded", title=title, status=status, code="limit_exceeded", detail=detail
    )
    body = msgspec.json.encode(problem)
    head = (
        f"HTTP/1.1 {status} {title}\r\ncontent-type: {PROBLEM_MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        f"{PROTOCOL_HEADER.lower()}: {PROTOCOL_VERSION}\r\nx-content-type-options: nosniff\r\n"
        "cache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
