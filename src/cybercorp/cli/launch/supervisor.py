"""Keep children running: a thread per child that waits for its end and starts it again with full-jitter back-off.

What happens is said through `notice` (stderr, or the dashboard) and kept for whoever asks later.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable

from cybercorp.cli.launch.children import Child
from cybercorp.core.clock import Clock, SystemClock
from cybercorp.core.errors import CyberCorpError

FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 30.0
STEADY_S = 60.0  # a child that ran this long starts its back-off anew
_STOP_S = 10.0
_POLL_S = 0.5
_NOTICES = 50


def backoff_s(failures: int, draw: Callable[[], float] = random.random) -> float:
    """A delay drawn evenly from nothing to 0.5 s · 2^failures, at most 30 s ("full jitter")."""
    return draw() * min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures, 10))


class Supervisor:
    """Children in the order they are to start; they are stopped in the opposite order."""

    def __init__(self, notice: Callable[[str], None] | None = None, clock: Clock | None = None) -> None:
        self._say = notice
        self._clock = clock or SystemClock()
        self._notices: deque[str] = deque(maxlen=_NOTICES)
        self._children: list[Child] = []
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.restarts = 0

    def add(self, child: Child) -> None:
        """A child that is to be stopped with the others, started or not yet."""
        with self._lock:
            self._children.append(child)

    def watch(self, child: Child, *, prepare: Callable[[Child], None] | None = None) -> None:
        """Start an added child where it was not, and again whenever it ends.

        `prepare` runs before every start of ours and may change the child's environment.
        """
        watcher = threading.Thread(target=self._watch, args=(child, prepare), name=f"watch-{child.name}", daemon=True)
        self._threads.append(watcher)
        watcher.start()

    def notice(self, text: str) -> None:
        """Say something to whoever watches."""
        self._notices.append(text)
        if self._say is not None:
            self._say(text)

    def take_notices(self) -> list[str]:
        """What was said since the last call."""
        taken = []
        while self._notices:
            taken.append(self._notices.popleft())
        return taken

    def kill(self) -> None:
        """End every child at once: for a person who presses Ctrl-C twice."""
        self._stopping.set()
        for child in self._children:
            child.kill()

    def stop(self) -> None:
        """Stop every child, the last started first, and wait until none runs. Safe to call twice."""
        self._stopping.set()
        with self._lock:
            children = list(reversed(self._children))
        for child in children:
            child.stop(_STOP_S)
        for watcher in self._threads:
            watcher.join(_STOP_S)
        for child in children:
            child.stop(_STOP_S)  # one that its watcher had just started

    def _watch(self, child: Child, prepare: Callable[[Child], None] | None) -> None:
        failures = 0
        started = self._clock.monotonic()
        problem = "" if child.pid or child.exit_code is not None else self._start(child, prepare)
        while not self._stopping.is_set():
            if not problem and not child.wait(_POLL_S):
                child.log.bound()
                continue
            if self._stopping.is_set():
                return
            failures = 0 if self._clock.monotonic() - started >= STEADY_S else failures
            delay = backoff_s(failures)
            failures += 1
            what = f"could not be started: {problem}" if problem else f"stopped: {child.why()}"
            self.notice(f"The {child.name} {what.rstrip('.')}. Starting it again in {delay:.1f} s.")
            if self._stopping.wait(delay):
                return
            started = self._clock.monotonic()
            problem = self._start(child, prepare)
            if not problem:
                self.restarts += 1
                self.notice(f"The {child.name} was started again.")

    def _start(self, child: Child, prepare: Callable[[Child], None] | None) -> str:
        try:
            if prepare is not None:
                prepare(child)
            with self._lock:
                if not self._stopping.is_set():
                    child.start()
        except (CyberCorpError, OSError) as error:
            return str(error)
        return ""
