"""One viewer: its connection's codec and outbox, and what it has subscribed to."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from cybercorp.protocol.events import Event
from cybercorp.protocol.live import Subscribe
from cybercorp.protocol.registry import Codec
from cybercorp.protocol.servers import MAX_MESSAGE_BYTES
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.outbox import Outbox


class Subscription(msgspec.Struct, kw_only=True):
    """An open subscription: what was asked, and what has been sent of it."""

    request: Subscribe
    host: LiveHost | None = None
    catalogue: str = ""
    due_at: float = 0.0
    last_event: int = 0
    held: list[Event] | None = None


class Viewer:
    """One viewer's connection: a codec of its format, an outbox, numbered subscriptions."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.outbox = Outbox()
        self.subscriptions: dict[int, Subscription] = {}


def event_parts(events: list[msgspec.Raw]) -> Iterator[list[msgspec.Raw]]:
    """The events in messages of a bounded size: hosts decide how large an event is."""
    part: list[msgspec.Raw] = []
    size = 0
    for event in events:
        length = memoryview(event).nbytes
        if part and size + length > MAX_MESSAGE_BYTES // 2:
            yield part
            part, size = [], 0
        part.append(event)
        size += length
    if part:
        yield part
