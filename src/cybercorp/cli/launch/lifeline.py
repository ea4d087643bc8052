"""A child's lifeline: a pipe whose other end the supervisor holds. When the supervisor dies, however, the child ends.

Works for every way of dying, `kill -9` included, and on every platform: the kernel closes the pipe.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time

VARIABLE = "CYBERCORP_LIFELINE"
_GRACE_S = 10.0


def hold_lifeline() -> None:
    """Called first in a child: where it was started by a supervisor, stop when stdin, the lifeline, is closed."""
    if os.environ.pop(VARIABLE, "") != "stdin":
        return
    threading.Thread(target=_watch, args=(sys.stdin.fileno(),), name="lifeline", daemon=True).start()


def _watch(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(descriptor, 64):
            pass
    # First as a service manager would, so that what is in memory is written; then for good.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(1)
