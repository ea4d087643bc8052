"""One load run: join the agents, start the workers, measure, wait until everything is sealed, clean up."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable

import msgspec

from cybercorp.bench.agents import Identity, facts_of
from cybercorp.bench.figures import Figures
from cybercorp.bench.recording import SERIES
from cybercorp.bench.results import BenchResult
from cybercorp.bench.server import Meter, ServerUnderLoad
from cybercorp.bench.worker import Job
from cybercorp.client.asynchronous import AsyncClient
from cybercorp.core.errors import CyberCorpError, InternalError
from cybercorp.security.agent_keys import new_agent_key

AGENTS_A_WORKER = 5_000
ENROLLING_AT_ONCE, TOKENS_AT_ONCE = 16, 1_000
SETTLE_S = 180.0
Tell = Callable[[str, float | None], None]  # what is done now, and how much of it (0–1), None where nobody knows


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. `window` rows are on their way for each agent at full speed; 0 is real time.

    At full speed each agent sends `rows`, or as many as `seconds` allow where it is 0.
    """

    agents: int = 100
    viewers: int = 0
    seconds: float = 30.0
    interval_ms: int = 1000
    window: int = 0
    rows: int = 0
    workers: int = 0
    settle: bool = True


async def run_load(server: ServerUnderLoad, load: Load, tell: Tell) -> BenchResult:
    """Run it. The hosts `bench-00000…` that join are removed again from a server that is not ours alone.

    Raises CyberCorpError.
    """
    async with AsyncClient(server.url, token=server.token, timeout_s=60) as client:
        tell("joining", 0.0)
        identities = await _enrol(client, load.agents, tell)
        try:
            return await _measure(server, client, load, identities, tell)
        finally:
            if server.pid is None:
                tell("cleaning up", None)
                await _remove(client, load.agents)


async def _measure(
    server: ServerUnderLoad, client: AsyncClient, load: Load, identities: list[Identity], tell: Tell
) -> BenchResult:
    before = (await client.server.info()).storage.samples_total
    with contextlib.ExitStack() as stack:
        meter = stack.enter_context(Meter(server.pid)) if server.pid is not None else None
        tell("connecting", None)
        async with _workers(server, load, identities) as workers:
            await asyncio.gather(*(one.line() for one in workers))
            if meter is not None:
                meter.begin()
            began = time.monotonic()
            figures = await _run(workers, load, tell)
            seconds = time.monotonic() - began
            loaded_cpu_s = meter.cpu_s() if meter is not None else None
        settled_s, stored = None, None
        if load.settle:
            settled_s = await _settle(client, tell)
        with contextlib.suppress(CyberCorpError):
            stored = ((await client.server.info()).storage.samples_total - before) // SERIES
        cpu_s = meter.cpu_s() if meter is not None else None
    disk = server.disk_bytes() if load.settle else None
    samples = figures.acknowledged * SERIES
    return BenchResult(
        agents=load.agents,
        viewers=load.viewers,
        series=SERIES,
        speed="max" if load.window else "real",
        seconds=seconds,
        settled_s=settled_s,
        rows_sent=figures.sent,
        rows_acknowledged=figures.acknowledged,
        rows_refused=figures.refused,
        rows_stored=stored,
        samples_per_s=samples / seconds,
        samples_per_cpu_s=samples / cpu_s if cpu_s else None,
        server_cpu_s=cpu_s,
        server_cpu_percent=100 * loaded_cpu_s / seconds if loaded_cpu_s is not None else None,
        server_rss_bytes=meter.peak_rss_bytes if meter is not None else None,
        generator_cpu_s=figures.cpu_s,
        ack_p50_ms=_ms(figures.acknowledgement.quantile(0.5)),
        ack_p99_ms=_ms(figures.acknowledgement.quantile(0.99)),
        ack_max_ms=_ms(figures.acknowledgement.longest) if figures.acknowledged else None,
        delivery_p50_ms=_ms(figures.delivery.quantile(0.5)),
        delivery_p99_ms=_ms(figures.delivery.quantile(0.99)),
        updates_delivered=figures.delivered,
        windows_delivered=figures.windows,
        disk_bytes=disk,
        bytes_per_sample=disk / samples if disk and samples else None,
        failures=figures.failures,
        rows_by_agent=figures.rows,
    )


class _Worker:
    """One worker's process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.figures = Figures()

    async def line(self) -> Figures:
        """The next figures it tells. Raises InternalError where it has ended."""
        assert self.process.stdout is not None
        data = await self.process.stdout.readline()
        if not data:
            raise InternalError("A load worker ended early.", hint="Run it again with --debug and report what it says.")
        self.figures = msgspec.json.decode(data, type=Figures)
        return self.figures

    async def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        await self.process.stdin.drain()

    async def finish(self) -> Figures:
        """Its figures when it is done."""
        while not (await self.line()).done:
            pass
        return self.figures


@contextlib.asynccontextmanager
async def _workers(server: ServerUnderLoad, load: Load, identities: list[Identity]) -> AsyncIterator[list[_Worker]]:
    count = load.workers or -(-load.agents // AGENTS_A_WORKER)
    size = -(-load.agents // count)
    workers: list[_Worker] = []
    try:
        for number in range(count):
            first = number * size
            job = Job(
                url=server.url,
                seconds=load.seconds,
                interval_ms=load.interval_ms,
                window=load.window,
                rows=load.rows,
                first=first,
                identities=identities[first : first + size],
                viewer_token=server.token,
                viewed=[name_of(i * 7 % load.agents) for i in range(number, load.viewers, count)],
            )
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "cybercorp.bench.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=1 << 24,
            )
            workers.append(_Worker(process))
            await workers[-1].say(msgspec.json.encode(job))
        yield workers
    finally:
        for one in workers:
            if one.process.stdin is not None:
                one.process.stdin.close()
        for one in workers:
            try:
                await asyncio.wait_for(one.process.wait(), 10)
            except TimeoutError:
                one.process.kill()
                await one.process.wait()


async def _run(workers: list[_Worker], load: Load, tell: Tell) -> Figures:
    for one in workers:
        await one.say(b"go")
    running = asyncio.gather(*(one.finish() for one in workers))
    began = time.monotonic()
    while not running.done():
        await asyncio.wait({running}, timeout=0.5)
        acknowledged = sum(one.figures.acknowledged for one in workers)
        tell(f"sending: {acknowledged * SERIES:,} samples stored", min(1.0, (time.monotonic() - began) / load.seconds))
    whole = Figures()
    for figures in await running:
        whole.merge(figures)
    return whole


async def _settle(client: AsyncClient, tell: Tell) -> float:
    """Wait until no row is left that is not in a chunk; returns how long that took."""
    began = time.monotonic()
    while time.monotonic() - began < SETTLE_S:
        unsealed = (await client.server.info()).storage.unsealed_rows
        if not unsealed:
            break
        tell(f"sealing: {unsealed:,} rows are still in the log", None)
        await asyncio.sleep(0.5)
    return time.monotonic() - began


async def _enrol(client: AsyncClient, count: int, tell: Tell) -> list[Identity]:
    gate, done, left = asyncio.Semaphore(ENROLLING_AT_ONCE), 0, count
    given: list[str] = []
    while left:
        made = await client.agents.create_enrolment(count=min(left, TOKENS_AT_ONCE))
        given += made.tokens
        left -= len(made.tokens)

    async def join(index: int) -> Identity:
        nonlocal done
        async with gate:
            key = new_agent_key()
            answer = await client.agents.enrol(given[index], name_of(index), key.public, facts_of(index))
        done += 1
        if done % 100 == 0:
            tell(f"joining: {done:,} agents", done / count)
        return Identity(host_id=answer.host_id, private_key=key.private)

    return list(await asyncio.gather(*(join(index) for index in range(count))))


async def _remove(client: AsyncClient, count: int) -> None:
    gate = asyncio.Semaphore(ENROLLING_AT_ONCE)

    async def remove(index: int) -> None:
        async with gate:
            await client.hosts.remove(name_of(index))

    for outcome in await asyncio.gather(*(remove(index) for index in range(count)), return_exceptions=True):
        if isinstance(outcome, BaseException) and not isinstance(outcome, CyberCorpError):
            raise outcome


def name_of(index: int) -> str:
    """The name of simulated host number `index`."""
    return f"bench-{index:05}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
