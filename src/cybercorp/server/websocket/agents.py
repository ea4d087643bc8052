"""The agents' socket: hello, catalogues, records and live tables in; welcome, acknowledgements and watches out."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from litestar import WebSocket, websocket
from litestar.di import NamedDependency

from cybercorp.core.errors import CyberCorpError, LimitExceededError, MalformedMessageError, UnauthenticatedError
from cybercorp.core.version import VERSION
from cybercorp.protocol.agents import Hello, Welcome
from cybercorp.protocol.events import EventKind
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.registry import Codec, Direction
from cybercorp.protocol.servers import MAX_MESSAGE_BYTES
from cybercorp.server.problems import problem_of
from cybercorp.server.services.agent_keys import Admission
from cybercorp.server.services.agents import AgentLink
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.websocket.agent_proof import admit_by_key, agent_key_host, refuse_token
from cybercorp.server.websocket.agent_stream import AgentStream, SilentError
from cybercorp.server.websocket.connection import (
    CLOSE_S,
    Disconnected,
    Socket,
    close,
    close_reason,
    message_event,
)
from cybercorp.server.websocket.connection import receive as receive_message
from cybercorp.server.wiring import Services

HELLO_S = 10.0
MAX_STREAM = 64
_BROKEN = {  # what the WebSocket layer closes for by itself
    1002: "it broke the WebSocket protocol.",
    1007: "it sent a text that is not UTF-8.",
    1008: "it sent more messages than any agent does.",
    1009: f"it sent a message of more than {MAX_MESSAGE_BYTES // 1024} KiB.",
}
_LOG = logging.getLogger("cybercorp.agents")


@websocket("/api/v1/agents/connect", opt={"permission": Permission.AGENT_CONNECT})
async def agents_socket(socket: WebSocket[Any, Any, Any], services: NamedDependency[Services]) -> None:
    """The connection of one agent; see docs/reference/protocol.md."""
    named = agent_key_host(socket.headers.get("authorization"))
    if named is None:
        await refuse_token(socket, services)
        return
    proven = await admit_by_key(socket, services, named)
    if proven is None:
        return
    host, codec, admission = proven
    try:
        link = await _greet(socket, codec, services, host, admission)
    except Disconnected:
        return
    except CyberCorpError as error:
        await services.note_agent_refusal(host, error)
        await _refuse(socket, codec, error)
        return
    await _serve(socket, codec, services, link)


async def _greet(socket: Socket, codec: Codec, services: Services, host: LiveHost, admission: Admission) -> AgentLink:
    try:
        async with asyncio.timeout(HELLO_S):
            data = await receive_message(socket)
    except TimeoutError:
        raise MalformedMessageError(f"No hello came within {HELLO_S:.0f} s.", hint="Update the agent.") from None
    hello = codec.decode(data, Direction.AGENT_TO_SERVER).payload
    if not isinstance(hello, Hello):
        raise MalformedMessageError("The first message must be agent.hello.", hint="Update the agent.")
    if not 0 < len(hello.stream) <= MAX_STREAM or not 50 <= hello.interval_ms <= 3_600_000:
        raise MalformedMessageError("The hello has a wrong stream or interval.", hint="Update the agent.")
    now = services.clock.monotonic()
    if not host.connections.take(now):
        raise LimitExceededError(
            "This agent connects too often.", hint="See its log for why it is cut; it may come back in a minute."
        )
    acked = services.store.acked_seq(host.key, hello.stream)
    link = AgentLink(host, hello.stream, acked, codec, now=now)
    services.agents.connect(link, now=now)
    try:
        if services.fleet.by_key(host.key) is not host:
            raise UnauthenticatedError("The host of this token was removed.", hint="Join again.")
        await services.hosts.greet(host, hello)
        link.generation, link.mark = admission.generation, admission.mark
        welcome = Welcome(
            host_id=host.id,
            name=host.name,
            acked_seq=acked,
            clock_ms=services.clock.now_ms(),
            version=VERSION,
            pins=services.certificates.pins,
            authorities=services.certificates.authorities,
            generation=admission.generation,
            mark=admission.mark,
        )
        link.outbox.put_entry(codec.encode("agent.welcome", welcome))
        services.processes.greet(link)
        await services.events.note_host(EventKind.HOST_CONNECTED, host, f"{host.name} connected.")
    except BaseException:
        services.agents.disconnect(link)
        raise
    return link


async def _serve(socket: Socket, codec: Codec, services: Services, link: AgentLink) -> None:
    try:
        error = await AgentStream(socket, codec, services, link).run()
    finally:
        current = services.agents.disconnect(link)
    if services.sockets.stopping.is_set():
        await close(socket, 1012, "the server restarts")
        return
    host = link.host
    if isinstance(error, CyberCorpError):
        await services.note_agent_refusal(host, error)
        await _refuse(socket, codec, error)
    elif link.close_code:
        await close(socket, link.close_code, link.close_reason)
    elif isinstance(error, SilentError):
        await close(socket, 1001, "nothing was heard for too long")
    elif isinstance(error, TimeoutError):
        await close(socket, 1013, "too slow: nothing was read for 10 s")
    elif isinstance(error, Disconnected):
        if error.code in _BROKEN:
            await services.note_agent_refusal(host, MalformedMessageError(_BROKEN[error.code]))
    elif error is not None:
        _LOG.error("the connection of a host failed", exc_info=error)
        await close(socket, 1011, "internal")
    if current:
        services.processes.forget(host.key)
        await services.events.note_host(EventKind.HOST_DISCONNECTED, host, f"{host.name} disconnected.")


async def _refuse(socket: Socket, codec: Codec, error: CyberCorpError) -> None:
    """Say what is wrong as a problem, then close."""
    data = codec.encode("problem", problem_of(error))
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.send(message_event(data, codec))
    except Exception:  # noqa: BLE001 - the other end may be gone already, in any of several ways
        return
    await close(socket, 1007 if isinstance(error, MalformedMessageError) else 1008, close_reason(error))
