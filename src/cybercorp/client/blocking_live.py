"""Live updates for programs without an event loop: the async iterator runs in a thread, the caller waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

from cybercorp.client.asynchronous import AsyncClient
from cybercorp.client.inbox import Update
from cybercorp.security.credentials import Credential

ResultT = TypeVar("ResultT")
_PATIENCE_S = 2.0


class _LoopThread:
    """An event loop in a daemon thread; `run` waits for a coroutine there."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cybercorp live", daemon=True)
        self._thread.start()

    def run(self, call: Coroutine[Any, Any, ResultT]) -> ResultT:
        ended = threading.Event()

        async def tracked() -> ResultT:
            try:
                return await call
            finally:
                ended.set()

        future = asyncio.run_coroutine_threadsafe(tracked(), self._loop)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C while waiting: the iterator can be closed once nobody waits in it any more.
            if future.cancel():
                ended.wait(_PATIENCE_S)
            raise

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def iterate_live(
    credential: Credential, topics: tuple[str, ...], *, timeout_s: float, **options: Any
) -> Generator[Update, None, None]:
    """Updates of these topics for ever; closing the iterator ends connection and thread."""
    client = AsyncClient(credential=credential, timeout_s=timeout_s)
    updates = client.live(*topics, **options)
    loop = _LoopThread()

    async def close() -> None:
        await updates.aclose()
        await client.close()

    async def following() -> Update | None:
        return await anext(updates, None)

    try:
        while (update := loop.run(following())) is not None:
            yield update
    finally:
        loop.run(close())
        loop.close()
