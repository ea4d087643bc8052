"""An agent that has a key: it names its host in the handshake, and proves in the socket that it is that host's."""

from __future__ import annotations

import asyncio

from cybercorp.core.errors import CyberCorpError, MalformedMessageError, UnauthenticatedError, VersionMismatchError
from cybercorp.protocol.agents import Challenge, Proof
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.registry import Codec, Direction
from cybercorp.security.agent_keys import new_nonce
from cybercorp.server.networks import network_key
from cybercorp.server.problems import problem_of
from cybercorp.server.services.agent_keys import Admission
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.websocket.connection import (
    CLOSE_S,
    Disconnected,
    Socket,
    admit,
    choose_codec,
    close,
    close_reason,
    message_event,
    receive,
    refuse,
)
from cybercorp.server.wiring import Services

PROOF_S = 10.0
_SCHEME = "agent-key "
_MAX_ID = 64


def agent_key_host(header: str | None) -> str | None:
    """The host of `Authorization: Agent-Key HOST`, None where something else is shown."""
    text = header or ""
    return text[len(_SCHEME) :].strip()[:_MAX_ID] if text.lower().startswith(_SCHEME) else None


async def admit_by_key(socket: Socket, services: Services, named: str) -> tuple[LiveHost, Codec, Admission] | None:
    """The host that has proven itself, and what to hand out; None where it was refused and told why."""
    host = services.fleet.find(named)
    try:
        if host is None or host.id != named or not services.agent_keys.knows(named):
            raise UnauthenticatedError(
                "This host is unknown here, or was removed.", hint="Join again: cybercorp enroll."
            )
        chosen, codec = choose_codec(socket)
    except CyberCorpError as error:
        await refuse(socket, error)
        return None
    await socket.accept(subprotocols=chosen)
    try:
        admission = await _prove(socket, services, host, codec)
    except Disconnected:
        return None
    except CyberCorpError as error:
        await services.note_agent_refusal(host, error)
        await _explain(socket, codec, error)
        return None
    return host, codec, admission


async def refuse_token(socket: Socket, services: Services) -> None:
    """Who shows a token or nothing is no agent: 403 for one that is good elsewhere, else 401."""
    if await admit(socket, services.access, Permission.AGENT_CONNECT) is not None:  # nobody's role may hold it
        await close(socket, 1008, "unauthenticated: an agent names its host")


async def _prove(socket: Socket, services: Services, host: LiveHost, codec: Codec) -> Admission:
    nonce = new_nonce()
    client = socket.scope.get("client")
    secure = str(socket.scope.get("scheme", "ws")) == "wss"
    await socket.send(message_event(codec.encode("agent.challenge", Challenge(nonce=nonce)), codec))
    try:
        async with asyncio.timeout(PROOF_S):
            data = await receive(socket)
    except TimeoutError:
        raise MalformedMessageError(f"No proof came within {PROOF_S:.0f} s.", hint="Update the agent.") from None
    proof = codec.decode(data, Direction.AGENT_TO_SERVER).payload
    if not isinstance(proof, Proof):
        raise MalformedMessageError("The first message must be agent.proof.", hint="Update the agent.")
    shown = services.certificates.server_keys if secure else ()
    admission = await services.agent_keys.prove(host, proof, nonce, shown, network_key(client[0]) if client else "")
    socket.scope["user"] = admission.principal
    return admission


async def _explain(socket: Socket, codec: Codec, error: CyberCorpError) -> None:
    data = codec.encode("problem", problem_of(error))
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.send(message_event(data, codec))
    except Exception:  # noqa: BLE001 - the other end may be gone already, in any of several ways
        return
    code = 1007 if isinstance(error, MalformedMessageError | VersionMismatchError) else 1008
    await close(socket, code, close_reason(error))
