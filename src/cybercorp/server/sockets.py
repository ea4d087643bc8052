"""Every open socket learns here that the server stops."""

from __future__ import annotations

import asyncio


class OpenSockets:
    """`stopping` is set once; each socket then closes with 1012 (service restart, RFC 6455 registry)."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
