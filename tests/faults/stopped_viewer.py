"""A viewer in a process of its own, with 4 KiB to receive in, that can be stopped; run as a program.

    python -m tests.faults.stopped_viewer URL TOKEN HOST

It is the product's own client: it watches the samples of a host with every subscription it may have, and follows the
events. Writes a line for each event (`E number`), each end of its connection (`C why`), and each beginning (`S after`).
"""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from cybercorp.client.backoff import Backoff
from cybercorp.client.inbox import ConnectionState
from cybercorp.client.live import LiveConnection
from cybercorp.protocol.live import EventsUpdate, Subscribe, Subscribed, Topic
from cybercorp.security.credentials import Credential

BUFFER_BYTES = 4096
SUBSCRIPTIONS = 60
EVENTS = 1000


class SmallBuffers(asyncio.SelectorEventLoop):
    """Its sockets take little ahead of whoever reads them."""

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        await super().sock_connect(sock, address)


async def watch(url: str, token: str, host: str) -> None:
    """Until the process ends."""
    async with LiveConnection(Credential(url=url, token=token), backoff=Backoff()) as connection:
        await connection.subscribe(Subscribe(subscription=EVENTS, topic=Topic.EVENTS))
        for number in range(1, SUBSCRIPTIONS + 1):
            await connection.subscribe(Subscribe(subscription=number, topic=Topic.METRICS, host=host))
        async for update in connection:
            if isinstance(update, EventsUpdate):
                for event in update.events:
                    print(f"E {event.id}", flush=True)
            elif isinstance(update, Subscribed) and update.subscription == EVENTS:
                print(f"S {update.after} {update.resumed}", flush=True)
            elif isinstance(update, ConnectionState) and not update.connected:
                print(f"C {update.reason}", flush=True)


class StoppedViewer:
    """The program, started; what it has written so far is in `lines`."""

    def __init__(self, url: str, token: str, host: str, output: Path) -> None:
        self._output = output
        with output.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.stopped_viewer", url, token, host],
                stdout=file,
                cwd=Path(__file__).parents[2],
            )

    def stop(self) -> None:
        """SIGSTOP: it lives, and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def lines(self, kind: str) -> list[str]:
        """What follows the letter of this kind, line by line."""
        return [line[2:] for line in self._output.read_text().splitlines() if line.startswith(kind)]


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=SmallBuffers) as runner:
        runner.run(watch(*sys.argv[1:4]))
