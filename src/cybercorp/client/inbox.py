"""Updates between a socket and its reader: what describes a state is conflated, what is a log is kept, all bounded."""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Hashable

import msgspec

from cybercorp.protocol.live import (
    EventsUpdate,
    HostsUpdate,
    MetricsCatalogueUpdate,
    MetricsUpdate,
    ProcessesUpdate,
    Subscribed,
)
from cybercorp.protocol.problems import Problem


class ConnectionState(msgspec.Struct, frozen=True, kw_only=True):
    """The connection came or went. `reason` and `code` say why it went, `retry_in_s` when the next try is due."""

    connected: bool
    reason: str = ""
    retry_in_s: float | None = None
    code: str = ""


Update = (
    HostsUpdate
    | MetricsCatalogueUpdate
    | MetricsUpdate
    | ProcessesUpdate
    | EventsUpdate
    | Subscribed
    | Problem
    | ConnectionState
)

MAX_SAMPLES = 120  # rows of one host/metrics subscription that wait for a slow reader; then the oldest goes
MAX_LOG = 1000  # events, answers and problems that wait; then the socket is no longer read
_LATEST_WINS = (HostsUpdate, ProcessesUpdate, MetricsCatalogueUpdate, ConnectionState)


class Inbox:
    """One writer, one reader, one event loop."""

    def __init__(self) -> None:
        self._updates: OrderedDict[Hashable, Update] = OrderedDict()
        self._numbers = itertools.count()
        self._samples: dict[int, list[Hashable]] = {}
        self._logged = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.closed = False

    def __len__(self) -> int:
        return len(self._updates)

    def put(self, update: Update) -> None:
        """Add one update; a newer state takes the place of the older one, at the end of the line."""
        if isinstance(update, _LATEST_WINS):
            key: Hashable = (type(update), getattr(update, "subscription", None))
            self._updates.pop(key, None)
            if isinstance(update, MetricsCatalogueUpdate):
                self._drop_samples(update.subscription)
        elif isinstance(update, MetricsUpdate):
            key = self._sample_key(update.subscription)
        else:
            key = next(self._numbers)
            self._logged += 1
            if self._logged >= MAX_LOG:
                self._room.clear()
        self._updates[key] = update
        self._filled.set()

    def forget(self, subscription: int) -> None:
        """Drop what waits for a subscription that is closed."""
        self._drop_samples(subscription)
        for key in [k for k, one in self._updates.items() if getattr(one, "subscription", None) == subscription]:
            self._removed(self._updates.pop(key))

    def close(self) -> None:
        """Nothing more comes: `get` hands out what waits, then None."""
        self.closed = True
        self._filled.set()

    async def get(self) -> Update | None:
        """The oldest update; waits for one. None after `close`."""
        while not self._updates:
            if self.closed:
                return None
            self._filled.clear()
            await self._filled.wait()
        _, update = self._updates.popitem(last=False)
        self._removed(update)
        return update

    async def room(self) -> None:
        """Wait until the reader has caught up with the log."""
        await self._room.wait()

    def _removed(self, update: Update) -> None:
        if isinstance(update, MetricsUpdate):
            waiting = self._samples.get(update.subscription)
            if waiting:
                waiting.pop(0)
        elif not isinstance(update, _LATEST_WINS):
            self._logged -= 1
            if self._logged < MAX_LOG // 2:
                self._room.set()

    def _sample_key(self, subscription: int) -> Hashable:
        waiting = self._samples.setdefault(subscription, [])
        if len(waiting) >= MAX_SAMPLES:
            self._updates.pop(waiting.pop(0), None)
        key = (MetricsUpdate, subscription, next(self._numbers))
        waiting.append(key)
        return key

    def _drop_samples(self, subscription: int) -> None:
        for key in self._samples.pop(subscription, []):
            self._updates.pop(key, None)
