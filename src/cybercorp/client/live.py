"""The live connection: one socket, many subscriptions, reconnects and resumes by itself.

async with client.connect_live() as connection:
    await connection.subscribe(Subscribe(subscription=1, topic=Topic.HOSTS, limit=50))
    async for update in connection:
        ...
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Any, NoReturn, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from cybercorp.client.addresses import LIVE_PATH, is_loopback, unreachable, websocket_url
from cybercorp.client.authorization import Authorization, FixedToken
from cybercorp.client.backoff import Backoff
from cybercorp.client.calls import REQUEST_HEADERS
from cybercorp.client.failures import closed, is_hopeless, refused
from cybercorp.client.inbox import ConnectionState, Inbox, Update
from cybercorp.client.pins import learn_pins, trust_backup
from cybercorp.client.trust import is_verification, make_context, untrusted_certificate
from cybercorp.core.errors import (
    CyberCorpError,
    InternalError,
    InvalidInputError,
    UnauthenticatedError,
    UntrustedServerError,
    VersionMismatchError,
)
from cybercorp.protocol.live import EventsUpdate, Subscribe, Subscribed, Topic, Unsubscribe
from cybercorp.protocol.registry import Codec, Direction
from cybercorp.protocol.servers import MAX_MESSAGE_BYTES, PINS_HEADER, SUBPROTOCOL_MSGPACK
from cybercorp.security.credentials import Credential

__all__ = ["ConnectionState", "LiveConnection", "Update"]

_HEARTBEAT_S = 10.0
_MAX_ANSWER_BYTES = 4 * MAX_MESSAGE_BYTES


class LiveConnection:
    """Subscriptions over one socket. Iterating yields updates for ever; what waits for a slow reader is bounded.

    After a cut it says so (`ConnectionState`), waits with full jitter (0.5–30 s), connects again and opens every
    subscription again; `events` continue after the last one that was received. A token that is refused or another
    protocol version is tried again slowly. States are conflated while the reader is busy, events are never dropped.
    """

    def __init__(
        self,
        credential: Credential,
        *,
        timeout_s: float = 10.0,
        backoff: Backoff | None = None,
        authorization: Authorization | None = None,
    ) -> None:
        self._credential = credential
        self._authorization = authorization or FixedToken(credential.token)
        self._timeout_s = timeout_s
        self._backoff = backoff or Backoff()
        self._codec = Codec()
        self._inbox = Inbox()
        self._subscriptions: dict[int, Subscribe] = {}
        self._positions: dict[int, tuple[str, int]] = {}
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="cybercorp live connection")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection and the iteration."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def connected(self) -> bool:
        """Whether the socket is open right now."""
        return self._socket is not None

    async def subscribe(self, request: Subscribe) -> None:
        """Open a subscription, or replace the one with this number (another window, selector or order).

        It lasts over reconnects until `unsubscribe`. The answer is `Subscribed`, or a `Problem` with the number.
        """
        if request.topic is Topic.EVENTS and request.after is not None:
            self._positions[request.subscription] = (request.epoch or "", request.after)
        else:
            self._positions.pop(request.subscription, None)
        self._subscriptions[request.subscription] = request
        await self._send("live.subscribe", request)

    async def unsubscribe(self, subscription: int) -> None:
        """Close a subscription; nothing of it is delivered any more."""
        if self._subscriptions.pop(subscription, None) is None:
            return
        self._positions.pop(subscription, None)
        self._inbox.forget(subscription)
        await self._send("live.unsubscribe", Unsubscribe(subscription=subscription))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update:
        if self._task is None and not self._inbox.closed:
            raise RuntimeError("open the connection first: async with client.connect_live() as connection")
        update = await self._inbox.get()
        if update is not None:
            return update
        if self._task is not None and not self._task.cancelled() and (bug := self._task.exception()) is not None:
            raise InternalError("The live connection failed.", hint="Report this as a bug.") from bug
        raise StopAsyncIteration

    async def _run(self) -> None:
        try:
            while True:
                wait_s, failure = await self._connect_once()
                self._inbox.put(
                    ConnectionState(connected=False, reason=str(failure), retry_in_s=wait_s, code=failure.error_code)
                )
                await asyncio.sleep(wait_s)
        finally:
            self._inbox.close()

    async def _connect_once(self) -> tuple[float, CyberCorpError]:
        loop = asyncio.get_running_loop()
        opened_at = loop.time()
        try:
            async with await self._open() as socket:
                opened_at = loop.time()
                await self._receive(socket)
        except CyberCorpError as error:
            failure = error
        except ConnectionClosed as error:
            failure = self._explain_close(error)
        finally:
            self._socket = None
        return self._backoff.failed(lasted_s=loop.time() - opened_at, hopeless=is_hopeless(failure)), failure

    async def _open(self) -> ClientConnection:
        token = await self._authorization.token()
        try:
            return await self._open_trusted(token)
        except UnauthenticatedError:
            if not self._authorization.refused(token):
                raise
        return await self._open_trusted(await self._authorization.token())

    async def _open_trusted(self, token: str) -> ClientConnection:
        try:
            return await self._open_with(token)
        except UntrustedServerError:  # nothing was sent
            if not self._credential.pins:
                raise
        self._credential = await asyncio.to_thread(trust_backup, self._credential)
        return await self._open_with(token)

    async def _open_with(self, token: str) -> ClientConnection:
        url = self._credential.url
        context = await asyncio.to_thread(make_context, self._credential) if url.startswith("https:") else None
        options: dict[str, Any] = {"ssl": context} if context else {}
        try:
            socket = await connect(
                websocket_url(url, LIVE_PATH),
                additional_headers={"Authorization": f"Bearer {token}"} if token else {},
                user_agent_header=REQUEST_HEADERS["User-Agent"],
                subprotocols=[Subprotocol(SUBPROTOCOL_MSGPACK)],
                compression=None,
                proxy=None if is_loopback(url) else True,
                open_timeout=self._timeout_s,
                ping_interval=_HEARTBEAT_S,
                ping_timeout=_HEARTBEAT_S,
                close_timeout=1.0,
                max_size=_MAX_ANSWER_BYTES,
                **options,
            )
        except InvalidStatus as error:
            answer = error.response
            raise refused(answer.status_code, answer.headers, bytes(answer.body or b""), url) from error
        except (InvalidHandshake, InvalidURI) as error:
            raise VersionMismatchError(
                f"What answers at {url} is not a CyberCorp server of this version: {error}.",
                hint="Check the address, and install the same CyberCorp version on both sides.",
            ) from error
        except (OSError, TimeoutError) as error:
            if is_verification(error):
                raise untrusted_certificate(self._credential) from error
            raise unreachable(url, str(error) or type(error).__name__) from error
        if socket.response is not None and (told := socket.response.headers.get(PINS_HEADER)):
            self._credential = await asyncio.to_thread(learn_pins, self._credential, told.split())
        if socket.subprotocol != SUBPROTOCOL_MSGPACK:
            await socket.close()
            raise VersionMismatchError(
                f"The server at {url} does not speak {SUBPROTOCOL_MSGPACK}.",
                hint="Install the same CyberCorp version on both sides.",
            )
        return socket

    async def _receive(self, socket: ClientConnection) -> NoReturn:
        for request in list(self._subscriptions.values()):
            await socket.send(self._codec.encode("live.subscribe", self._resumed(request)))
        self._socket = socket
        self._inbox.put(ConnectionState(connected=True))
        while True:
            message = self._codec.decode(await socket.recv(), Direction.SERVER_TO_VIEWER, Direction.SERVER_TO_ANY)
            update: Update = message.payload
            number = getattr(update, "subscription", None)
            if number is not None and number not in self._subscriptions:
                continue  # sent before the server knew that the subscription is closed
            self._remember(update)
            self._inbox.put(update)
            await self._inbox.room()

    def _remember(self, update: Update) -> None:
        if isinstance(update, EventsUpdate) and update.events:
            self._positions[update.subscription] = (update.epoch, update.events[-1].id)
        elif isinstance(update, Subscribed) and update.after is not None:
            self._positions[update.subscription] = (update.epoch, update.after)

    def _resumed(self, request: Subscribe) -> Subscribe:
        position = self._positions.get(request.subscription)
        if request.topic is not Topic.EVENTS or position is None:
            return request
        return msgspec.structs.replace(request, epoch=position[0] or None, after=position[1])

    async def _send(self, kind: str, payload: Subscribe | Unsubscribe) -> None:
        socket = self._socket
        if socket is None:
            return  # every subscription is opened when the connection is
        with contextlib.suppress(ConnectionClosed):
            await socket.send(self._codec.encode(kind, payload))

    def _explain_close(self, error: ConnectionClosed) -> CyberCorpError:
        if error.rcvd is not None:
            return closed(error.rcvd.code, error.rcvd.reason, self._credential.url)
        if error.sent is not None and error.sent.code != 1000:
            return closed(
                1006, f"it fell silent or sent what cannot be read ({error.sent.reason})", self._credential.url
            )
        return closed(1006, "", self._credential.url)


def subscriptions(
    topics: tuple[str, ...],
    *,
    host: str | None,
    selector: str | None,
    limit: int,
    interval_ms: int,
    after: int | None,
    epoch: str | None,
) -> list[Subscribe]:
    """The subscriptions that `live("hosts", "events")` means, numbered from 1. Raises InvalidInputError."""
    known = ", ".join(Topic)
    found = []
    for number, text in enumerate(topics, start=1):
        if text not in set(Topic):
            raise InvalidInputError(f"'{text[:80]}' is no live topic.", hint=f"Use one of: {known}.")
        topic = Topic(text)
        if topic in (Topic.METRICS, Topic.PROCESSES) and host is None:
            raise InvalidInputError(f"The topic '{text}' needs a host.", hint="Name one: host='web-1'.")
        events = topic is Topic.EVENTS
        found.append(
            Subscribe(
                subscription=number,
                topic=topic,
                host=None if topic is Topic.HOSTS else host,
                selector=selector if topic is Topic.HOSTS else None,
                limit=limit,
                interval_ms=interval_ms,
                after=after if events else None,
                epoch=epoch if events else None,
            )
        )
    if not found:
        raise InvalidInputError("Nothing to subscribe to.", hint=f"Name topics: {known}.")
    return found
