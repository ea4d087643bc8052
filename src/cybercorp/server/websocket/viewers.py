"""The viewers' socket: subscriptions in, updates out."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import WebSocket, websocket
from litestar.di import NamedDependency

from cybercorp.core.errors import AccessError, CyberCorpError, VersionMismatchError
from cybercorp.protocol.live import Subscribe, Unsubscribe
from cybercorp.protocol.permissions import Permission
from cybercorp.protocol.registry import TOPIC_PERMISSIONS, Direction
from cybercorp.server.problems import problem_of
from cybercorp.server.services.refusals import Refusal
from cybercorp.server.services.sessions import session_over
from cybercorp.server.services.viewers import Viewer
from cybercorp.server.sockets import OpenSockets
from cybercorp.server.websocket.connection import (
    SLOW_CONSUMER,
    Disconnected,
    Socket,
    admit,
    close,
    close_reason,
    send_all,
)
from cybercorp.server.websocket.connection import receive as receive_message
from cybercorp.server.wiring import Services

MAX_FAULTS = 20


@websocket("/api/v1/live", opt={"permission": Permission.LIVE_CONNECT})
async def viewers_socket(socket: WebSocket[Any, Any, Any], services: NamedDependency[Services]) -> None:
    """Live updates for one viewer; see docs/reference/protocol.md."""
    admitted = await admit(socket, services.access, Permission.LIVE_CONNECT)
    if admitted is None:
        return
    principal, codec = admitted
    viewer = Viewer(codec, principal)
    services.live.join(viewer)
    sender = asyncio.create_task(send_all(socket, viewer.outbox, codec))
    reader = asyncio.create_task(_read(socket, viewer, services))
    try:
        code, reason = await _until_closed(viewer, sender, reader, services.sockets)
    finally:
        services.live.leave(viewer)
        for task in (sender, reader):
            task.cancel()
        await asyncio.gather(sender, reader, return_exceptions=True)
    if code:
        await close(socket, code, reason)


async def _until_closed(
    viewer: Viewer, sender: asyncio.Task[None], reader: asyncio.Task[None], sockets: OpenSockets
) -> tuple[int, str]:
    stopping, ended = asyncio.create_task(sockets.stopping.wait()), asyncio.create_task(viewer.ended.wait())
    try:
        await asyncio.wait({sender, reader, stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        ended.cancel()
    if viewer.ended.is_set():
        return 1008, close_reason(session_over())
    if reader.done() and (error := reader.exception()) is not None:
        if isinstance(error, VersionMismatchError):
            return 1008, close_reason(error)
        if isinstance(error, CyberCorpError):
            return 1007, close_reason(error)
        return (0, "") if isinstance(error, Disconnected) else (1011, "internal")
    if sender.done():
        slow = isinstance(sender.exception(), TimeoutError)
        return (SLOW_CONSUMER, "too slow: nothing was read for 10 s") if slow else (0, "")
    return 1012, "the server restarts"


async def _read(socket: Socket, viewer: Viewer, services: Services) -> None:
    faults, live = 0, services.live
    while True:
        data = await receive_message(socket)
        subscription = None
        try:
            message = viewer.codec.decode(data, Direction.VIEWER_TO_SERVER)
            if isinstance(message.payload, Subscribe):
                subscription = message.payload.subscription
                viewer.principal.require(TOPIC_PERMISSIONS[message.payload.topic])
                await live.subscribe(viewer, message.payload)
            elif isinstance(message.payload, Unsubscribe):
                live.unsubscribe(viewer, message.payload.subscription)
        except CyberCorpError as error:
            faults += 1
            problem = problem_of(error, subscription=subscription)
            viewer.outbox.put_entry(viewer.codec.encode("problem", problem))
            if isinstance(error, AccessError):
                await services.refusals.note(_refusal(viewer, error))
            if faults > MAX_FAULTS or isinstance(error, VersionMismatchError):
                raise


def _refusal(viewer: Viewer, error: AccessError) -> Refusal:
    who = viewer.principal
    return Refusal(operation="live.subscribe", actor=who, network=who.network, target="a topic", code=error.error_code)
