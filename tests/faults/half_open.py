"""Thousands of connections that never finish what they begin, from a process of their own; run as a program.

    python -m tests.faults.half_open PORT COUNT SECONDS KIND…

COUNT connections, of each KIND in turn. Prints a line of JSON: the seconds after which each one was closed by the
server, of those that were, and the status of what was answered (0: nothing). Loopback only, at most 2,048 at once.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cybercorp.server.limits import raise_file_limit

MOST = 2048
DRIP_S = 1.0
OPENED_A_SECOND = 250
_HEAD = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_POST = (
    b"POST /api/v1/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 200\r\n\r\n"
)


def client_hello() -> bytes:
    """The first record of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    wrapped = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        wrapped.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError


# What is sent at once, and what then drips, a byte a second; whether TLS is made first.
KINDS: dict[str, tuple[bytes, bytes, bool]] = {
    "silent": (b"", b"", False),
    "hello-drips": (client_hello()[:1], client_hello()[1:60], False),
    "hello-alone": (client_hello(), b"", False),
    "head-drips": (_HEAD, b"X-Drip: " + b"a" * 60, False),
    "body-drips": (_POST, b"{" + b" " * 60, False),
    "secure-silent": (b"", b"", True),
    "secure-head-drips": (_HEAD, b"X-Drip: " + b"a" * 60, True),
}


@dataclass
class HalfOpen:
    """How one of them ended."""

    kind: str
    closed_s: float | None = None
    status: int = 0


async def hold(port: int, one: HalfOpen, until: float) -> None:
    """Open, send what this kind sends, and note when the server closes."""
    said, drips, secure = KINDS[one.kind]
    context: ssl.SSLContext | None = None
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except OSError:  # it was closed while TLS was made
        one.closed_s = time.monotonic() - began
        return
    try:
        if said:
            writer.write(said)
        reading = asyncio.create_task(reader.read())
        for at in range(max(len(drips), 1)):
            patience = DRIP_S if drips else until - time.monotonic()
            done, _ = await asyncio.wait({reading}, timeout=max(0.01, patience))
            if done or time.monotonic() >= until:
                break
            writer.write(drips[at : at + 1])
        if not reading.done():
            reading.cancel()
            return
        one.closed_s = time.monotonic() - began
        heard = b"" if reading.exception() is not None else reading.result()
        one.status = int(heard[9:12]) if heard.startswith(b"HTTP/1.1 ") else 0
    finally:
        writer.transport.abort()


async def flood(port: int, count: int, seconds: float, kinds: list[str]) -> list[HalfOpen]:
    """All of them at once."""
    made = [HalfOpen(kinds[number % len(kinds)]) for number in range(min(count, MOST))]
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for number, one in enumerate(made):
            group.create_task(hold(port, one, until))
            if number % 10 == 9:
                await asyncio.sleep(10 / OPENED_A_SECOND)
    return made


class Flood:
    """The program, started; `result` waits for its end."""

    def __init__(self, port: int, count: int, seconds: float, *kinds: str) -> None:
        command = [sys.executable, "-m", "tests.faults.half_open", str(port), str(count), str(seconds), *kinds]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])

    async def result(self) -> list[HalfOpen]:
        said, _ = await asyncio.to_thread(self._process.communicate, timeout=120)
        assert self._process.returncode == 0
        rows: list[dict[str, Any]] = json.loads(said)
        return [HalfOpen(**row) for row in rows]

    def end(self) -> None:
        """Where the test fails before."""
        self._process.kill()
        self._process.wait()


if __name__ == "__main__":
    raise_file_limit()
    found = asyncio.run(flood(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
    print(json.dumps([vars(one) for one in found]))
