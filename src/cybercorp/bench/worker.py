"""One process of the load: `python -m cybercorp.bench.worker` reads a job as JSON, prints figures as JSON lines.

A line a second while it runs, a last one when every row is acknowledged. It starts to send when a line `go` comes on
standard input, and gives up when its standard input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from cybercorp.bench.agents import Identity, RowFrames, SimulatedAgent
from cybercorp.bench.figures import Figures
from cybercorp.bench.viewers import SimulatedViewer

TICK_S = 0.005
WAIT_STEP_S = 0.02
CONNECTING_AT_ONCE = 64
PING_S = 15.0
LAST_ACKNOWLEDGEMENT_S = 60.0
BACKFILL_ROWS = 6 * 3_600  # at full speed the rows of the past six hours are sent


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker simulates. `identities[i]` belongs to agent number `first + i`; `window` 0 means real time.

    At full speed an agent stops after `rows`, where that is not 0.
    """

    url: str
    seconds: float
    interval_ms: int = 1000
    window: int = 0
    rows: int = 0
    first: int = 0
    identities: list[Identity] = []
    viewer_token: str = ""
    viewed: list[str] = []


class Worker:
    """Runs a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        parts = urlsplit(job.url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._address = parts.netloc
        self.figures = Figures()
        self._agents: list[SimulatedAgent] = []
        self._viewers: list[SimulatedViewer] = []
        self._stopping = False

    async def connect(self) -> None:
        """Open all connections, a few at a time."""
        gate, frames, loop = asyncio.Semaphore(CONNECTING_AT_ONCE), RowFrames(), asyncio.get_running_loop()

        async def agent(index: int, identity: Identity) -> None:
            async with gate:
                made = SimulatedAgent(index, self._address, identity, self._job.interval_ms, frames, self.figures)
                try:
                    await loop.create_connection(lambda: made, self._host, self._port)
                except OSError as error:
                    self.figures.fail(f"agent {index}: {error}")
                    return
                await made.ready
                self._agents.append(made)

        await asyncio.gather(*(agent(self._job.first + i, one) for i, one in enumerate(self._job.identities)))
        for index, host in enumerate(self._job.viewed):
            self._viewers.append(SimulatedViewer(index, self._address, self._job.viewer_token, host, self.figures))
            await loop.create_connection(self._viewers[-1].itself, self._host, self._port)

    async def live(self) -> None:
        """Tell the server now and then that the agents live, while they have nothing to send yet."""
        while True:
            await asyncio.sleep(PING_S)
            for one in self._agents:
                one.ping()

    async def run(self) -> None:
        """Send for the job's time, then wait for the last acknowledgements."""
        end = time.monotonic() + self._job.seconds
        await (self._at_full_speed(end) if self._job.window else self._in_real_time(end))
        self._stopping = True
        await self._until(lambda agent: agent.acked == agent.sent, time.monotonic() + LAST_ACKNOWLEDGEMENT_S)

    def finish(self) -> None:
        """Complete the figures."""
        self.figures.rows = {agent.index: agent.acked for agent in self._agents}
        self.figures.cpu_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        self.figures.done = True

    def close(self) -> None:
        """Say goodbye to everybody."""
        for agent in self._agents:
            agent.close()
        for viewer in self._viewers:
            viewer.close()

    async def _in_real_time(self, end: float) -> None:
        """Every agent once an interval, spread evenly over it."""
        agents, interval_s = self._agents, self._job.interval_ms / 1000
        began, sent = time.monotonic(), 0
        while (now := time.monotonic()) < end and agents:
            due = int((now - began) / interval_s * len(agents))
            stamp = time.time_ns() // 1_000_000
            for number in range(sent, due):
                agents[number % len(agents)].send(stamp)
            sent = max(sent, due)
            await asyncio.sleep(TICK_S)

    async def _at_full_speed(self, end: float) -> None:
        """Every agent keeps `window` rows on their way, each a second after the one before, the last one now."""
        most = min(self._job.rows or BACKFILL_ROWS, BACKFILL_ROWS)
        start_ms = time.time_ns() // 1_000_000 - most * 1000

        def fill(agent: SimulatedAgent) -> None:
            if self._stopping:
                return
            for _ in range(min(self._job.window - (agent.sent - agent.acked), most - agent.sent)):
                agent.send(start_ms + agent.sent * 1000)

        for agent in self._agents:
            agent.on_acknowledged = fill
            fill(agent)
        await self._until(lambda agent: agent.acked == most, end)

    async def _until(self, done: Callable[[SimulatedAgent], bool], deadline: float) -> None:
        """Wait until every agent that is still connected is done, or the deadline has come."""
        while not all(agent.closed or done(agent) for agent in self._agents):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            await asyncio.sleep(min(left, WAIT_STEP_S))


async def work(job: Job) -> None:
    """Connect, tell, wait for `go`, run, tell."""
    worker = Worker(job)
    living = asyncio.create_task(worker.live())
    await worker.connect()
    tell(worker.figures)
    line = await asyncio.to_thread(sys.stdin.readline)
    living.cancel()
    if line.strip() == "go":
        telling = asyncio.create_task(tell_every_second(worker.figures))
        ending = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        running = asyncio.create_task(worker.run())
        await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
        for task in (telling, running):
            task.cancel()
        await asyncio.gather(telling, running, return_exceptions=True)
        worker.finish()
        tell(worker.figures)
    worker.close()
    await asyncio.sleep(0.1)  # let the goodbyes go


async def tell_every_second(figures: Figures) -> None:
    """Progress, for who waits."""
    while True:
        await asyncio.sleep(1)
        brief = Figures(connected=figures.connected, sent=figures.sent, acknowledged=figures.acknowledged)
        tell(brief)


def tell(figures: Figures) -> None:
    """One line."""
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the job, run it."""
    job = msgspec.json.decode(sys.stdin.readline(), type=Job)
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        if sys.platform == "win32":
            asyncio.run(work(job))
        else:
            import uvloop

            uvloop.run(work(job))


if __name__ == "__main__":
    main()
