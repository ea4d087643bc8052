"""A TCP proxy that makes a bad network on loopback: latency, jitter, cuts, resets, blackholes.

    with FaultProxy(target_port) as proxy:
        connect_to(proxy.port)
        proxy.blackhole = True    # swallow everything, both ways, the connections stay open
        proxy.cut()               # reset every connection; new ones are accepted again
        proxy.refusing = True     # accept and reset at once

Runs in a thread of its own, on 127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

_CHUNK = 16 * 1024


class FaultProxy:
    """Knobs may be turned at any time, from any thread; `bytes_passed` counts both directions."""

    def __init__(self, target_port: int, *, seed: int = 0) -> None:
        self.target_port = target_port
        self.port = 0
        self.latency_s = 0.0
        self.jitter_s = 0.0
        self.blackhole = False
        self.refusing = False
        self.accepted = 0
        self.bytes_passed = 0
        self._random = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection, both sides, as a dying router does."""
        self._run(self._cut())

    def _run(self, call: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(call, self._loop).result(10)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, limit=_CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _cut(self) -> None:
        for writer in list(self._writers):
            _reset(writer)
        await asyncio.sleep(0)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        self._writers.add(writer)
        try:
            if self.refusing:
                return
            try:
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target_port, limit=_CHUNK)
            except OSError:
                return
            self._writers.add(there_writer)
            ways = [
                asyncio.ensure_future(self._pass(reader, there_writer)),
                asyncio.ensure_future(self._pass(there_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for one in ways:
                    one.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                self._writers.discard(there_writer)
                _reset(there_writer)
        finally:
            self._writers.discard(writer)
            _reset(writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                delay = self.latency_s + self.jitter_s * self._random.random()
                if delay:
                    await asyncio.sleep(delay)
                if self.blackhole:
                    continue
                self.bytes_passed += len(data)
                writer.write(data)
                await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: what is on its way is lost, as with a pulled cable."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
