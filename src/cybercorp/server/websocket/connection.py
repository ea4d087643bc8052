"""One WebSocket, whoever is at its other end: authenticate, then accept; send from an outbox; close with a reason."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
from litestar import WebSocket

from cybercorp.core.errors import CyberCorpError, VersionMismatchError
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.problems import PROBLEM_MEDIA_TYPE
from cybercorp.protocol.registry import Codec, Format
from cybercorp.protocol.servers import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from cybercorp.server.audit_trail import mark_refused
from cybercorp.server.bearer import bearer_token
from cybercorp.server.networks import network_key
from cybercorp.server.problems import problem_of
from cybercorp.server.services.access import AccessService
from cybercorp.server.services.outbox import Outbox
from cybercorp.server.services.principals import Principal

SLOW_AFTER_S = 10.0
CLOSE_S = 1.0
SLOW_CONSUMER = 1013
_FORMATS: dict[str, Format] = {SUBPROTOCOL_MSGPACK: "msgpack", SUBPROTOCOL_JSON: "json"}
Socket = WebSocket[Any, Any, Any]


class Disconnected(Exception):  # noqa: N818 - an event of the connection, no error
    """The other end is gone, or was cut by the WebSocket layer; `code` tells why (RFC 6455, section 7.4)."""

    def __init__(self, code: int = 1005) -> None:
        super().__init__(code)
        self.code = code


async def admit(socket: Socket, access: AccessService, permission: Permission) -> tuple[Principal, Codec] | None:
    """Check token and subprotocol, and accept; None where the handshake was refused with a problem."""
    try:
        client = socket.scope.get("client")
        token = bearer_token(socket.headers.get("authorization"))
        principal = await access.authenticate(token, network_key(client[0]) if client else "")
        socket.scope["user"] = principal
        principal.require(permission)
        chosen, codec = choose_codec(socket)
    except CyberCorpError as error:
        await refuse(socket, error)
        return None
    await socket.accept(subprotocols=chosen)
    return principal, codec


def choose_codec(socket: Socket) -> tuple[str, Codec]:
    """The first offered subprotocol that is spoken here. Raises VersionMismatchError."""
    offered = socket.scope.get("subprotocols") or []
    chosen = next((one for one in offered if one in _FORMATS), None)
    if chosen is None:
        raise VersionMismatchError(
            f"None of the offered subprotocols is spoken here: {', '.join(offered)[:100] or 'none was offered'}.",
            hint=f"This server speaks {' and '.join(_FORMATS)}. Install the same CyberCorp version on both sides.",
        )
    return chosen, Codec(_FORMATS[chosen])


async def refuse(socket: Socket, error: CyberCorpError) -> None:
    """Answer the handshake with a problem instead of opening the socket."""
    problem = problem_of(error)
    mark_refused(socket.scope, problem.code)
    if "websocket.http.response" not in (socket.scope.get("extensions") or {}):
        await socket.send({"type": "websocket.close", "code": 1008, "reason": close_reason(error)})
        return
    headers = [(b"content-type", PROBLEM_MEDIA_TYPE.encode())]
    start: Any = {"type": "websocket.http.response.start", "status": problem.status, "headers": headers}
    body: Any = {"type": "websocket.http.response.body", "body": msgspec.json.encode(problem)}
    await socket.send(start)
    await socket.send(body)


def close_reason(error: CyberCorpError) -> str:
    """The code and what fits of the message; a close frame carries 123 bytes (RFC 6455, section 5.5)."""
    return f"{error.error_code}: {error.message}".encode()[:120].decode("utf-8", "ignore")


async def receive(socket: Socket) -> bytes | str:
    """The next message. Raises Disconnected."""
    event: Any = await socket.receive()
    if event["type"] == "websocket.disconnect":
        raise Disconnected(event.get("code") or 1005)
    data: bytes | str | None = event.get("bytes")
    return data if data is not None else event.get("text") or ""


async def close(socket: Socket, code: int, reason: str) -> None:
    """Close, if it still can be closed."""
    wait_s = SLOW_AFTER_S if code == SLOW_CONSUMER else CLOSE_S
    with contextlib.suppress(Exception):  # the other end may be gone already, in any of several ways
        async with asyncio.timeout(wait_s):
            await socket.send({"type": "websocket.close", "code": code, "reason": reason[:120]})


def message_event(data: bytes, codec: Codec) -> Any:
    """The ASGI event that sends this: JSON as text, MessagePack as binary."""
    if codec.format == "json":
        return {"type": "websocket.send", "text": data.decode()}
    return {"type": "websocket.send", "bytes": data}


async def send_all(socket: Socket, outbox: Outbox, codec: Codec) -> None:
    """Send what the outbox holds, for ever. Raises TimeoutError for a consumer that takes nothing for 10 s."""
    while True:
        data = await outbox.next()
        if outbox.overflowed:
            raise TimeoutError
        async with asyncio.timeout(SLOW_AFTER_S):
            await socket.send(message_event(data, codec))
