"""The agent's log: one line for one thing on stderr, and never a storm of the same."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable

from cybercorp.core.clock import Clock
from cybercorp.security.display import safe_text

LIMIT_S = 10.0
_MAX_LINE = 400


def write_line(line: str) -> None:
    """One line to stderr, whatever characters it has."""
    stream = sys.stderr
    if stream is None:
        return
    encoded = f"{line}\n".encode(stream.encoding or "utf-8", "backslashreplace").decode(stream.encoding or "utf-8")
    stream.write(encoded)
    stream.flush()


class Log:
    """Lines with a time. `limited` lets one line of a topic through every 10 s and counts the rest."""

    def __init__(self, clock: Clock, write: Callable[[str], None] = write_line) -> None:
        self._clock = clock
        self._write = write
        self._last: dict[str, tuple[float, int]] = {}

    def line(self, text: str) -> None:
        """Write one line."""
        moment = dt.datetime.fromtimestamp(self._clock.now_ms() / 1000, dt.UTC)
        self._write(f"{moment:%Y-%m-%dT%H:%M:%SZ} agent: {safe_text(text, _MAX_LINE)}")

    def limited(self, topic: str, text: str, every_s: float = LIMIT_S) -> None:
        """Write one line of this topic unless there was one less than `every_s` ago."""
        now = self._clock.monotonic()
        last = self._last.get(topic)
        if last is not None and now - last[0] < every_s:
            self._last[topic] = (last[0], last[1] + 1)
            return
        held_back = f" ({last[1]} such lines held back)" if last is not None and last[1] else ""
        self._last[topic] = (now, 0)
        self.line(f"{text}{held_back}")

    def forget(self, topic: str) -> None:
        """Let the next line of this topic through: it says something new."""
        self._last.pop(topic, None)
