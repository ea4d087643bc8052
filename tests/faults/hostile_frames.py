"""What no client of ours ever sends, from a process of its own: how the server ends each of them; run as a program.

    python -m tests.faults.hostile_frames PORT TOKEN COUNT ROUNDS

COUNT is how many tiny frames a flood has. Prints a line of JSON: a row for each attack of each round, with the close
code of the WebSocket or the status of HTTP, and the seconds that it took. TOKEN is a viewer's. Loopback only.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.speedups import apply_mask

PATIENCE_S = 12.0
MIB = 1024**2
LEVELS = 100_000
TEXT, BINARY, CONTINUED, PING = 1, 2, 0, 9


@dataclass
class End:
    """How one attack ended: a close code, an HTTP status, 0 where nothing was said, −1 where it was not ended."""

    attack: str
    code: int
    seconds: float


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bool = True, compressed: bool = False) -> bytes:
    """A client's frame; wrong ones too."""
    made = bytearray(Frame(Opcode(opcode), payload, fin).serialize(mask=mask))
    made[0] |= 0x40 if compressed else 0
    return bytes(made)


def deflated(size: int) -> bytes:
    """So many bytes of nothing, as permessage-deflate has them (RFC 7692)."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(bytes(size)) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def fragments(total: int, each: int) -> Iterator[bytes]:
    """One message in many frames, which never ends."""
    yield frame(BINARY, bytes(each), fin=False)
    for _ in range(total // each - 1):
        yield frame(CONTINUED, bytes(each), fin=False)


def many(one: bytes, count: int, first: bytes = b"") -> Iterator[bytes]:
    """The same tiny frame, a thousand at a time."""
    yield first
    for _ in range(count // 1000):
        yield one * 1000


def envelope(payload: bytes) -> bytes:
    return b'{"v":1,"id":1,"kind":"live.unsubscribe","payload":' + payload + b"}"


def frame_attacks(count: int) -> dict[str, Callable[[], Iterator[bytes]]]:
    """Each gives the bytes that follow the handshake."""
    deep = envelope(b"[" * LEVELS + b"]" * LEVELS)
    huge = envelope(b'{"subscription":' + b"9" * LEVELS + b"}")
    mask = os.urandom(4)
    lying = b"\x82\xff" + struct.pack("!Q", 60 * MIB) + mask + apply_mask(bytes(MIB), mask)
    return {
        "60 MiB in fragments": lambda: fragments(60 * MIB, 64 * 1024),
        "60 MiB in a frame": lambda: iter([lying]),
        "a length of 2^63": lambda: iter([b"\x82\xff" + b"\xff" * 8 + mask]),
        "a deflate bomb": lambda: iter([frame(BINARY, deflated(15 * MIB), compressed=True)]),
        "no mask": lambda: iter([frame(BINARY, b"x", mask=False)]),
        "a reserved opcode": lambda: iter([b"\x83\x80" + mask]),
        "a long ping": lambda: iter([b"\x89\xfe\x01\x00" + mask + bytes(256)]),
        "a continuation of nothing": lambda: iter([frame(CONTINUED, b"x")]),
        "no UTF-8": lambda: iter([frame(TEXT, b"\xff\xfe\xfa")]),
        "no UTF-8 in fragments": lambda: iter([frame(TEXT, b"\xe2", fin=False), frame(CONTINUED, b"\x28\xa1")]),
        "deep JSON": lambda: iter([frame(TEXT, deep)] * 30),
        "huge numbers": lambda: iter([frame(TEXT, huge)] * 30),
        "tiny texts": lambda: many(frame(TEXT, b"x"), count),
        "tiny messages": lambda: many(frame(TEXT, envelope(b'{"subscription":1}')), count),
        "empty fragments": lambda: many(frame(CONTINUED, fin=False), count, frame(TEXT, b"x", fin=False)),
        "pings": lambda: many(frame(PING, b"x"), count),
        "pings whose answers nobody reads": lambda: many(frame(PING, bytes(125)), count),
    }


def head(method: str, path: str, token: str, *fields: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}", *fields]
    lines += [] if "Connection: Upgrade" in fields else ["Connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def request_attacks(token: str) -> dict[str, Callable[[], Iterator[bytes]]]:
    """Each gives the bytes of a request."""

    def posted(body: bytes, *fields: str) -> Iterator[bytes]:
        kind = "Content-Type: application/json"
        yield head("POST", "/api/v1/login", token, kind, f"Content-Length: {len(body)}", *fields)
        yield body

    def endless() -> Iterator[bytes]:
        yield head("POST", "/api/v1/login", token, "Content-Type: application/json", "Transfer-Encoding: chunked")
        for _ in range(60 * MIB // 65536):
            yield b"10000\r\n" + bytes(65536) + b"\r\n"

    return {
        "100,000 fields": lambda: iter([head("GET", "/health/live", token, *["X: a"] * 100_000)]),
        "a field of 1 MiB": lambda: iter([head("GET", "/health/live", token, "X: " + "a" * MIB)]),
        "a body of 60 MiB": lambda: posted(bytes(60 * MIB)),
        "chunks of 60 MiB": endless,
        "a body of deep JSON": lambda: posted(b"[" * LEVELS + b"]" * LEVELS),
        "a body of huge numbers": lambda: posted(b'{"name":' + b"9" * LEVELS + b"}"),
        "a body that is no UTF-8": lambda: posted(b'{"name":"\xff\xfe","password":"x"}'),
        "a packed bomb": lambda: posted(zlib.compress(bytes(15 * MIB)), "Content-Encoding: deflate"),
    }


def shake_hands(port: int, token: str) -> socket.socket:
    """A viewer's WebSocket of JSON, without reading a frame."""
    made = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    fields = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    offered = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    made.sendall(head("GET", "/api/v1/live", token, *fields, key, offered, "Sec-WebSocket-Protocol: cybercorp.v1.json"))
    said = b""
    while b"\r\n\r\n" not in said:
        said += made.recv(1)
    assert said.startswith(b"HTTP/1.1 101 "), said
    assert b"permessage-deflate" not in said
    return made


def send(connection: socket.socket, parts: Iterator[bytes]) -> None:
    """All of it, or until the server has closed."""
    with contextlib.suppress(OSError):
        for part in parts:
            connection.sendall(part)


def read_end(connection: socket.socket) -> bytes:
    """What the server says until it closes; TimeoutError."""
    heard, until = b"", time.monotonic() + PATIENCE_S
    while True:
        connection.settimeout(max(0.01, until - time.monotonic()))
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            return heard
        if not data:
            return heard
        heard = (heard + data)[-MIB:]


def close_code(heard: bytes) -> int:
    """Of the close frame among the server's frames (RFC 6455, section 5.5.1)."""
    at = 0
    while at + 2 <= len(heard):
        length, body = heard[at + 1] & 127, at + 2
        if length >= 126:
            wide = 2 if length == 126 else 8
            length, body = int.from_bytes(heard[body : body + wide], "big"), body + wide
        if heard[at] & 15 == 8:
            return int.from_bytes(heard[body : body + 2], "big")
        at = body + length
    return 0


def attack(name: str, connection: socket.socket, parts: Iterator[bytes], *, http: bool, reads: bool = True) -> End:
    """Send, and see how it ends."""
    began = time.monotonic()
    with connection:
        sending = threading.Thread(target=send, args=(connection, parts), daemon=True)
        sending.start()
        if not reads:
            sending.join(PATIENCE_S)
        try:
            heard = read_end(connection)
        except TimeoutError:
            return End(name, -1, time.monotonic() - began)
        seconds = time.monotonic() - began
    sending.join(PATIENCE_S)
    if http:
        return End(name, int(heard[9:12]) if heard.startswith(b"HTTP/1.1 ") else 0, seconds)
    return End(name, close_code(heard), seconds)


def run(port: int, token: str, count: int, rounds: int) -> list[End]:
    """Every attack, four at once."""

    def frames(name: str, parts: Callable[[], Iterator[bytes]]) -> End:
        reads = not name.endswith("nobody reads")
        return attack(name, shake_hands(port, token), parts(), http=False, reads=reads)

    def request(name: str, parts: Callable[[], Iterator[bytes]]) -> End:
        connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        return attack(name, connection, parts(), http=True)

    with ThreadPoolExecutor(4) as pool:
        made = []
        for _ in range(rounds):
            made += [pool.submit(frames, *one) for one in frame_attacks(count).items()]
            made += [pool.submit(request, *one) for one in request_attacks(token).items()]
        return [one.result() for one in made]


class Attacks:
    """The program, started; `result` waits for its end."""

    def __init__(self, port: int, token: str, count: int, rounds: int) -> None:
        command = [sys.executable, "-m", "tests.faults.hostile_frames", str(port), token, str(count), str(rounds)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])

    def result(self) -> list[End]:
        said, _ = self._process.communicate(timeout=300)
        assert self._process.returncode == 0
        rows: list[dict[str, Any]] = json.loads(said)
        return [End(**row) for row in rows]

    def end(self) -> None:
        """Where the test fails before."""
        self._process.kill()
        self._process.wait()


if __name__ == "__main__":
    found = run(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    print(json.dumps([vars(one) for one in found]))
