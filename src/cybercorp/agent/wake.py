"""Wake the runner's loop from a signal or another thread, and tell it to stop."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType


class Wake:
    """A socket pair: `ring` makes the loop's selector return; `stopping` is set once and stays."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self.stopping = False

    def fileno(self) -> int:
        """For a selector."""
        return self._reader.fileno()

    def ring(self) -> None:
        """Wake the loop; from any thread, and from a signal handler."""
        with contextlib.suppress(OSError):  # full: it will wake anyway; closed: nobody is there
            self._writer.send(b"\0")

    def drain(self) -> None:
        """Take note of every ring until now."""
        with contextlib.suppress(BlockingIOError):
            while self._reader.recv(4096):
                pass

    def wait(self, seconds: float) -> None:
        """Wait for a ring, for at most so long."""
        select.select([self._reader], [], [], seconds)
        self.drain()

    def stop(self) -> None:
        """Ask the loop to end."""
        self.stopping = True
        self.ring()

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


@contextlib.contextmanager
def stopped_by_signals(wake: Wake) -> Iterator[None]:
    """SIGTERM and SIGINT stop the loop while this holds; outside the main thread it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        wake.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
