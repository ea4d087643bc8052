"""The least of WebSocket (RFC 6455) that a load generator needs, without a task or a queue a connection.

The frames' mask is zero: legal for the server that reads them, and no work for the side that must not be the load.
"""

from __future__ import annotations

import base64
import os

from cybercorp.protocol.servers import SUBPROTOCOL_MSGPACK

BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
_FIN, _MASKED = 0x80, 0x80
_SHORT, _WIDE = 126, 127
_NO_MASK = bytes(4)


def handshake(path: str, address: str, authorization: str) -> bytes:
    """The request that opens a WebSocket; `address` is `host:port`, `authorization` the header of that name."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {address}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL_MSGPACK}",
        f"Authorization: {authorization}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def frame_head(size: int, opcode: int = BINARY) -> bytes:
    """What goes before a payload of `size` bytes."""
    first = bytes([_FIN | opcode])
    if size < _SHORT:
        return first + bytes([_MASKED | size]) + _NO_MASK
    if size < 1 << 16:
        return first + bytes([_MASKED | _SHORT]) + size.to_bytes(2, "big") + _NO_MASK
    return first + bytes([_MASKED | _WIDE]) + size.to_bytes(8, "big") + _NO_MASK


def frame(payload: bytes, opcode: int = BINARY) -> bytes:
    """A whole frame."""
    return frame_head(len(payload), opcode) + payload


class ServerFrames:
    """Cuts a server's bytes into (opcode, payload); first the answer to the handshake, as opcode 0 with its head."""

    def __init__(self) -> None:
        self._rest = b""
        self._open = False

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """All frames that are whole now. A fragment is not expected and comes as it is."""
        if self._rest:
            data = self._rest + data
        found: list[tuple[int, bytes]] = []
        start = 0
        if not self._open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return found
            found.append((0, data[:end]))
            start = end + 4
            self._open = True
        while len(data) - start >= 2:
            size, body = data[start + 1], start + 2
            if size >= _SHORT:
                wide = 2 if size == _SHORT else 8
                if len(data) < body + wide:
                    break
                size = int.from_bytes(data[body : body + wide], "big")
                body += wide
            if len(data) < body + size:
                break
            found.append((data[start] & 0x0F, data[body : body + size]))
            start = body + size
        self._rest = data[start:]
        return found
