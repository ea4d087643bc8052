"""Ordinary users of a server that somebody floods: how long each of their requests takes, and what the answer is."""

from __future__ import annotations

import asyncio
import ssl
import statistics
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

USERS = 5
PAUSE_S = 0.1
QUICK_S = 5.0
_ANSWER_S = 20.0


@dataclass
class Answers:
    """Of one stretch of time: seconds and status of each request; 599 is one that was not answered."""

    seconds: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def p99_s(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98]

    @property
    def failed(self) -> list[int]:
        """Every answer that is not a good one."""
        return [status for status in self.statuses if status != 200]


def limit_of(*quiet: Answers, quick: bool) -> float:
    """The p99 that a flood may cause: twice that of the quiet before and after it; less than 10 ms counts as 10.

    With the quick profile other tests run beside this one: only what lasts longer than they do is told from them.
    """
    return max(2 * max(0.010, *(one.p99_s for one in quiet)), QUICK_S if quick else 0.0)


class ControlGroup:
    """Five users, ten requests a second each, on connections that they keep, one of them on a new one each time."""

    def __init__(self, url: str, token: str, path: str = "/api/v1/hosts?limit=1") -> None:
        parts = urlsplit(url)
        self._port = parts.port
        self._context: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._context.check_hostname, self._context.verify_mode = False, ssl.CERT_NONE
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )

    async def ask(self, until: asyncio.Event) -> Answers:
        """Ask until the event; a second or more."""
        answers = Answers()
        async with asyncio.TaskGroup() as group:
            for user in range(USERS):
                group.create_task(self._be_user(answers, until, fresh=user == 0))
        return answers

    async def ask_for(self, seconds: float) -> Answers:
        """Ask for so long."""
        until = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, until.set)
        return await self.ask(until)

    async def _be_user(self, answers: Answers, until: asyncio.Event, *, fresh: bool) -> None:
        reader: asyncio.StreamReader | None = None
        writer: asyncio.StreamWriter | None = None
        while not until.is_set():
            began = time.perf_counter()
            try:
                async with asyncio.timeout(_ANSWER_S):
                    if reader is None or writer is None:
                        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._context)
                    writer.write(self._request)
                    status = await _status(reader)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                status = 599
            answers.seconds.append(time.perf_counter() - began)
            answers.statuses.append(status)
            if writer is not None and (fresh or status == 599):
                writer.transport.abort()
                reader = writer = None
            await asyncio.sleep(max(0.0, PAUSE_S - (time.perf_counter() - began)))
        if writer is not None:
            writer.transport.abort()


async def _status(reader: asyncio.StreamReader) -> int:
    """Of one answer, which is read whole."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    await reader.readexactly(size)
    return int(head.split(b" ", 2)[1])
