"""One viewer: its connection's codec and outbox, and what it has subscribed to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from cybercorp.protocol.events import Event
from cybercorp.protocol.live import Subscribe, Topic
from cybercorp.protocol.registry import TOPIC_PERMISSIONS, Codec
from cybercorp.protocol.servers import MAX_MESSAGE_BYTES
from cybercorp.server.services.fleet import LiveHost
from cybercorp.server.services.outbox import Outbox
from cybercorp.server.services.principals import Principal
from cybercorp.server.services.views import View


class Subscription(msgspec.Struct, kw_only=True):
    """An open subscription: what was asked, and what has been sent of it."""

    request: Subscribe
    host: LiveHost | None = None
    catalogue: str = ""
    due_at: float = 0.0
    last_event: int = 0
    held: list[Event] | None = None


class Viewer:
    """One viewer's connection: a codec of its format, an outbox, numbered subscriptions.

    `principal` is replaced when rights change; what is sent is decided by the one of that moment.
    """

    def __init__(self, codec: Codec, principal: Principal) -> None:
        self.codec = codec
        self._views: dict[Topic, View] = {}
        self.principal = principal
        self.outbox = Outbox()
        self.subscriptions: dict[int, Subscription] = {}
        self.ended = asyncio.Event()

    @property
    def principal(self) -> Principal:
        """Who looks."""
        return self._principal

    @principal.setter
    def principal(self, principal: Principal) -> None:
        self._principal = principal
        self._views = {topic: principal.view(permission) for topic, permission in TOPIC_PERMISSIONS.items()}

    def look_again(self) -> None:
        """A right may have begun or ended by itself."""
        self.principal = self._principal

    def view(self, topic: Topic) -> View:
        """The hosts of which a topic may be told."""
        return self._views[topic]


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
