"""What a greeted agent sends, taken message by message until something ends the connection."""

from __future__ import annotations

import asyncio

from cybercorp.core.errors import CyberCorpError, MalformedMessageError
from cybercorp.protocol.agents import AnnounceCatalogue, Confirm, Records
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.registry import Codec, Direction
from cybercorp.server.problems import problem_of
from cybercorp.server.services.agents import AgentLink, cannot_send
from cybercorp.server.services.bodies import check_table
from cybercorp.server.websocket.connection import Socket, receive, send_all
from cybercorp.server.websocket.direct import direct_of
from cybercorp.server.wiring import Services

SILENCE_CHECK_S = 5.0
SILENT_S = 45.0
UNKNOWN_CATALOGUE = "unknown_catalogue"


class SilentError(Exception):
    """Nothing was heard for too long."""


class AgentStream:
    """One connection. Messages come straight from the transport where it offers that, else from the ASGI queue."""

    def __init__(self, socket: Socket, codec: Codec, services: Services, link: AgentLink) -> None:
        self._socket = socket
        self._codec = codec
        self._services = services
        self._link = link
        self._direct = direct_of(socket) if codec.format == "msgpack" else None
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[BaseException | None] = self._loop.create_future()
        self._watch: asyncio.TimerHandle | None = None
        self._silent_s = max(SILENT_S, 0.003 * link.host.row.interval_ms)

    async def run(self) -> BaseException | None:
        """Serve until the end; returns what ended it, None where the server itself wants it closed."""
        link, sockets = self._link, self._services.sockets
        link.on_close = self._end
        if link.close_code:  # while it was greeted
            self._end()
        sockets.add(self._end)
        if self._direct is not None:
            link.send_now = self._direct.send_now
        self._watch = self._loop.call_later(SILENCE_CHECK_S, self._check_silence)
        tasks = [
            asyncio.create_task(send_all(self._socket, link.outbox, self._codec)),
            asyncio.create_task(self._read()),
        ]
        for task in tasks:
            task.add_done_callback(self._task_ended)
        try:
            return await self._ended
        finally:
            link.send_now = cannot_send
            sockets.remove(self._end)
            if self._watch is not None:
                self._watch.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _end(self, error: BaseException | None = None) -> None:
        if not self._ended.done():
            self._ended.set_result(error)

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._end(task.exception())

    def _check_silence(self) -> None:
        if self._direct is not None and self._direct.heard:
            self._direct.heard = False
            self._link.heard_at = self._services.clock.monotonic()
        if self._services.clock.monotonic() - self._link.heard_at >= self._silent_s:
            self._end(SilentError())
        elif not self._ended.done():
            self._watch = self._loop.call_later(SILENCE_CHECK_S, self._check_silence)

    async def _read(self) -> None:
        while True:
            if self._direct is not None:
                self._direct.take_over(self._take_direct)
            self._take(await receive(self._socket))

    def _take_direct(self, data: bytes) -> None:
        try:
            self._take(data)
        except Exception as error:  # noqa: BLE001 - called by the transport: whatever it is ends this connection alone
            self._end(error)

    def _take(self, data: bytes | str) -> None:
        if self._ended.done():  # what follows a message that could not be taken must not count as taken
            return
        link, services = self._link, self._services
        link.heard_at = services.clock.monotonic()
        payload = self._codec.decode(data, Direction.AGENT_TO_SERVER).payload
        try:
            if type(payload) is Records:
                services.ingest.take(link, payload.records)
            elif isinstance(payload, ProcessTable):
                check_table(payload)
                services.processes.take(link.host, payload)
            elif isinstance(payload, Confirm):
                if payload.generation == link.generation:
                    services.agent_keys.confirm(link.host, link.generation, link.mark)
            elif isinstance(payload, AnnounceCatalogue):
                services.ingest.announce(link, payload)
            else:
                raise MalformedMessageError("A second hello was sent.", hint="Update the agent.")
        except CyberCorpError as error:
            if error.error_code != UNKNOWN_CATALOGUE:
                raise
            link.outbox.put_entry(self._codec.encode("problem", problem_of(error)))
