"""Simulated viewers: a window of the fleet and every row of one host, as an open dashboard asks for them."""

from __future__ import annotations

import time
from typing import Any

from cybercorp.bench.connections import SimulatedConnection
from cybercorp.bench.figures import Figures
from cybercorp.protocol.hosts import HostSort
from cybercorp.protocol.live import HostsUpdate, MetricsUpdate, Subscribe, Topic
from cybercorp.protocol.problems import Problem

WINDOW_ROWS = 40


class SimulatedViewer(SimulatedConnection):
    """One viewer. A delivery is counted from the agent's stamp to now: both ends are on one machine."""

    path = "/api/v1/live"

    def __init__(self, index: int, address: str, token: str, host: str, figures: Figures) -> None:
        super().__init__(f"viewer {index}", address, f"Bearer {token}", figures)
        self._host = host
        self._first = True

    def opened(self) -> None:
        """Subscribe."""
        fleet = Subscribe(subscription=1, topic=Topic.HOSTS, sort=HostSort.CPU, descending=True, limit=WINDOW_ROWS)
        for one in (fleet, Subscribe(subscription=2, topic=Topic.METRICS, host=self._host)):
            self.say("live.subscribe", one)

    def heard(self, payload: Any) -> None:
        """Rows and windows are counted."""
        if isinstance(payload, MetricsUpdate):
            if not self._first:  # the first is the newest row at the subscription, as old as it is
                self._figures.delivery.add(max(0.0, time.time() - payload.timestamp_ms / 1000))
                self._figures.delivered += 1
            self._first = False
        elif isinstance(payload, HostsUpdate):
            self._figures.windows += 1
        elif isinstance(payload, Problem):
            self._figures.fail(f"{self._name}: {payload.code}: {payload.detail}")
