"""One of many viewers stops reading (F18): others are not late, little memory waits for it, and it misses nothing."""

from __future__ import annotations

import asyncio
import statistics
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cybercorp.bench.connections import SimulatedConnection
from cybercorp.bench.figures import Figures
from cybercorp.protocol.live import MetricsUpdate, Subscribe, Topic
from cybercorp.protocol.metrics import Series, make_catalogue
from tests.faults.servers import FaultyServer
from tests.faults.stopped_viewer import StoppedViewer
from tests.integration.serving import AgentPeer, now_ms
from tests.stack import wait_until

WIDE = make_catalogue([Series(name=f"metric.{number}") for number in range(250)])
ROWS_A_SECOND = 10
QUIET_S, STOPPED_S = 5.0, 15.0
MOST_LATER_MS, MOST_BYTES = 50, 2_000_000
QUICK_LATER_MS = 3_000  # beside other tests on the same cores


class Viewer(SimulatedConnection):
    """One that reads: how many milliseconds old each row is when it comes."""

    path = "/api/v1/live"

    def __init__(self, name: str, address: str, token: str, figures: Figures) -> None:
        super().__init__(name, address, f"Bearer {token}", figures)
        self.delays_ms: list[int] = []

    def opened(self) -> None:
        self.say("live.subscribe", Subscribe(subscription=1, topic=Topic.METRICS, host="ledger-1"))

    def heard(self, payload: Any) -> None:
        if isinstance(payload, MetricsUpdate):
            self.delays_ms.append(now_ms() - payload.timestamp_ms)


@contextmanager
def sending(server: FaultyServer, token: str) -> Iterator[None]:
    """An agent that sends a row of two kilobytes ten times a second."""
    done = threading.Event()

    def send() -> None:
        with AgentPeer(server.url, token) as agent:
            agent.greet(interval_ms=1000 // ROWS_A_SECOND)
            agent.announce(WIDE)
            while not done.wait(1 / ROWS_A_SECOND):
                agent.samples(0.5, catalogue=WIDE)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(10)


async def measured(viewers: list[Viewer], server: FaultyServer, seconds: float) -> tuple[float, int]:
    """The p99 of the delays (ms) in the next seconds, and by how many bytes the server's memory grew at most."""
    for viewer in viewers:
        viewer.delays_ms.clear()
    before, peak, until = server.memory_bytes, 0, asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        await asyncio.sleep(0.1)
        peak = max(peak, server.memory_bytes)
    delays = [one for viewer in viewers for one in viewer.delays_ms]
    assert len(delays) > len(viewers)
    return statistics.quantiles(delays, n=100)[98], peak - before


async def happen(server: FaultyServer, count: int) -> None:
    """So many events: each enrolment is one or more."""
    await asyncio.to_thread(server.enrol, count, "later")


def ids(server: FaultyServer, after: int) -> list[int]:
    """The events that the server has told since one of them."""
    answer = httpx.get(f"{server.url}/api/v1/events", params={"limit": 1000}, headers=server.owner, timeout=20)
    return sorted(one["id"] for one in answer.raise_for_status().json()["events"] if one["id"] > after)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_who_stops_reading_is_cut_and_misses_nothing(tmp_path: Path, times: Callable[[int, int], int]) -> None:
    """A process is stopped for 15 s. The p99 delay of the others grows by no more than 50 ms, the server by no more
    than 2 MB; the viewer is told 1013, comes back by itself, and has seen every event once, in order."""
    count, quick = times(20, 100), times(1, 0) == 1
    server = FaultyServer(tmp_path)
    server.start()
    viewers: list[Viewer] = []
    stopped: StoppedViewer | None = None
    try:
        token = server.owner["Authorization"].removeprefix("Bearer ")
        (agent,) = server.enrol(1)
        with sending(server, agent):
            loop, figures = asyncio.get_running_loop(), Figures()
            for number in range(count - 1):
                one = Viewer(f"viewer-{number}", f"127.0.0.1:{server.port}", token, figures)
                await loop.create_connection(one.itself, "127.0.0.1", server.port)
                viewers.append(one)
            stopped = StoppedViewer(server.url, token, "ledger-1", tmp_path / "viewer.txt")
            await asyncio.to_thread(wait_until, lambda: stopped.lines("S"), "its subscription")
            after = int(stopped.lines("S")[0].split()[0])
            await measured(viewers, server, 2.0)
            quiet_ms, grown = await measured(viewers, server, QUIET_S)
            stopped.stop()
            happening = asyncio.create_task(happen(server, 30))
            late_ms, held = await measured(viewers, server, STOPPED_S)
            await happening
            stopped.go_on()
            wanted = await asyncio.to_thread(ids, server, after)
            await asyncio.to_thread(wait_until, lambda: len(stopped.lines("E")) >= len(wanted), "all events", 60)
            seen = [int(line) for line in stopped.lines("E")]
            assert seen[: len(wanted)] == wanted
            assert len(wanted) >= 30
            assert any("1013" in why or "slow" in why for why in stopped.lines("C")), stopped.lines("C")
            assert [line.split()[1] for line in stopped.lines("S")[1:]] == ["True"] * (len(stopped.lines("S")) - 1)
            assert len(stopped.lines("S")) > 1
            assert not figures.failures, figures.failures
        said = f"p99 {quiet_ms:.0f} ms, then {late_ms:.0f} ms; memory +{grown / 1e6:.1f} MB, then +{held / 1e6:.1f} MB"
        assert late_ms <= quiet_ms + (QUICK_LATER_MS if quick else MOST_LATER_MS), said
        assert held - grown <= MOST_BYTES, said
        print(said)
    finally:
        if stopped is not None:
            stopped.end()
        for one in viewers:
            one.close()
        server.kill()
