"""Any instant of a day of twenty hosts: from the key to the picture, through the real dashboard and a real server.

    python -m benchmarks.replay [HOSTS] [HOURS] [FOLDER]

Writes HOSTS × HOURS of the recorded half hour (repeated; a counter is reset at each seam) with a process table every
ten seconds straight into the store, once for a FOLDER that is kept; starts `cybercorp server run` on it; opens the real
dashboard (headless, 120×40) on fleet, host and events, jumps to random instants and steps, and measures from the key to
the drawn picture; then plays at 60× and counts what the server does. Two cold jumps of each kind are not counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import psutil

from benchmarks.measure import PYTHON, Result, percentile, report, wait_until_ready
from cybercorp import AsyncClient
from cybercorp.bench.recording import ROWS, body, catalogue
from cybercorp.bench.server import free_port
from cybercorp.core.clock import SystemClock
from cybercorp.protocol.agents import RecordType
from cybercorp.protocol.events import EventKind, Severity
from cybercorp.protocol.hosts import HostFacts
from cybercorp.protocol.processes import ProcessTable
from cybercorp.security.credentials import Credential, read_credential
from cybercorp.store.records.database import Records
from cybercorp.store.records.events import NewEvent
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from cybercorp.tui.app import DashboardApp
from cybercorp.tui.screens.dashboard import DashboardScreen
from cybercorp.tui.screens.host import HostScreen
from cybercorp.tui.session import Session

BAR_MS = 200
PROCESSES_EVERY = 10
JUMPS = 40
_BLOCK_S = ROWS


def prepare(folder: Path, hosts: int, hours: float) -> None:
    """The databases of `hosts` × `hours` that end now."""
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(_prepare(folder, hosts, hours))


async def _prepare(folder: Path, hosts: int, hours: float) -> None:
    end_ms = SystemClock().now_ms() // 1000 * 1000
    start_ms = end_ms - round(hours * 3_600_000)
    known = catalogue()
    records = await Records.open(folder / "records.db")
    store = TimeSeries.open(folder / "samples.db", TimeSeriesSettings(), SystemClock())
    try:
        keys = []
        for number in range(hosts):
            made = await records.hosts.create(f"host-{number:02d}", {}, HostFacts(cpu_count=4), start_ms)
            keys.append(made.key)
            store.register_catalogue(made.key, known)
        seq = 0
        for block_ms in range(start_ms, end_ms, _BLOCK_S * 1000):
            for number, key in enumerate(keys):
                seq += 1_000_000
                store.write(_block(key, number, seq, block_ms, end_ms, known.id))
            store.seal(everything=True)
            while store.seal().pending:
                pass
        draw = random.Random(3)
        events = [
            NewEvent(
                time_ms=draw.randrange(start_ms, end_ms),
                kind=EventKind.MONITOR_FAILED,
                severity=draw.choice(list(Severity)),
                message="A monitor failed.",
                host=f"host-{draw.randrange(hosts):02d}",
            )
            for _ in range(2_000)
        ]
        await records.events.append(sorted(events, key=lambda one: one.time_ms))
    finally:
        store.close()
        await records.close()


def _block(key: int, host: int, seq: int, start_ms: int, end_ms: int, known: str) -> list[StoredRow]:
    made = []
    for second in range(_BLOCK_S):
        at_ms = start_ms + second * 1000
        if at_ms >= end_ms:
            break
        row = body(host, second)
        made.append(StoredRow(key, "bench", seq + 2 * second, at_ms, at_ms, RecordType.SAMPLES, known, row))
        if second % PROCESSES_EVERY == 0:
            table = msgspec.msgpack.encode(_table(at_ms, second))
            made.append(StoredRow(key, "bench", seq + 2 * second + 1, at_ms, at_ms, RecordType.PROCESSES, "", table))
    return made


def _table(at_ms: int, second: int) -> ProcessTable:
    count = 20
    return ProcessTable(
        timestamp_ms=at_ms,
        total=180,
        partial=True,
        pid=[100 + n for n in range(count)],
        parent=[1] * count,
        name=[f"worker-{n}" for n in range(count)],
        command=[f"/usr/lib/shop/worker --queue {n} --retries 3" for n in range(count)],
        user=["shop"] * count,
        state=["S"] * count,
        cpu=[round(((second * 7 + n * 13) % 100) / 100, 2) for n in range(count)],
        cpu_time_s=[float(at_ms // 1000 % 86_400 + n) for n in range(count)],
        rss_bytes=[(n + 1) * 8 << 20 for n in range(count)],
        threads=[n % 9 + 1 for n in range(count)],
        read_bytes=[0] * count,
        write_bytes=[at_ms // 1000 * 512] * count,
        read_rate=[0.0] * count,
        write_rate=[512.0] * count,
        started_at_ms=[at_ms - at_ms % 86_400_000] * count,
    )


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[Credential, psutil.Process]]:
    """`cybercorp server run` on the folder."""
    port = free_port()
    command = [PYTHON, "-m", "cybercorp", "server", "run", "--port", str(port), "--data-dir", str(folder)]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CYBERCORP_")}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", 60)
        credential = read_credential(folder / "owner.json")
        assert credential is not None
        yield credential, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


class Watch:
    """The dashboard, and how long it takes to draw an instant."""

    def __init__(self, app: DashboardApp, span: tuple[int, int]) -> None:
        self.app = app
        self.span = span
        self.draw = random.Random(5)

    async def drawn(self, act: Callable[[DashboardScreen], object]) -> float:
        """Milliseconds from a key to the picture: the answers are here, the lines are made and sent."""
        front = self.app.front
        assert front is not None
        began = time.perf_counter()
        act(front)
        async with asyncio.timeout(20):
            await asyncio.sleep(0)
            while front.catching_up:  # noqa: ASYNC110 - what is measured has its own events
                await asyncio.sleep(0.0005)
        await self._refreshed(front)
        return 1000 * (time.perf_counter() - began)

    async def _refreshed(self, front: DashboardScreen) -> None:
        done = asyncio.Event()
        front.call_after_refresh(done.set)
        await done.wait()

    async def jumps(self) -> list[float]:
        """Random instants of the whole day."""
        times = []
        for _ in range(JUMPS + 2):
            at_ms = self.draw.randrange(self.span[0] + 600_000, self.span[1] - 60_000)
            times.append(await self.drawn(lambda front, at_ms=at_ms: front.go_to(at_ms)))  # type: ignore[misc]
            await asyncio.sleep(0.05)
        return times[2:]

    async def steps(self) -> list[float]:
        """Steps of `[`."""
        return [await self.drawn(lambda front: front.action_step(-1)) for _ in range(JUMPS)]


async def _measure(credential: Credential, server: psutil.Process, span: tuple[int, int]) -> list[Result]:
    results: list[Result] = []
    session = Session(lambda: AsyncClient(credential.url, token=credential.token))
    app = DashboardApp(session)
    async with app.run_test(size=(120, 40)):
        watch = Watch(app, span)
        await session.ready()
        while not session.connection.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for name, open_screen in _screens(app):
            await open_screen()
            for kind, run in (("any instant", watch.jumps), ("a step", watch.steps)):
                began = _cpu(server)
                times = await run()
                cpu = 1000 * (_cpu(server) - began) / len(times)
                results += _figures(name, kind, times, cpu)
            if name == "host":
                results += await _play(app, watch, server)
    return results


def _screens(app: DashboardApp) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
    async def fleet() -> None:
        await asyncio.sleep(0.5)

    async def host() -> None:
        app.open_host("host-03")
        while not isinstance(app.front, HostScreen) or app.front.time_host is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def events() -> None:
        app.action_show_events()
        await asyncio.sleep(0.2)

    return [("fleet", fleet), ("host", host), ("events", events)]


async def _play(app: DashboardApp, watch: Watch, server: psutil.Process, seconds: float = 8) -> list[Result]:
    front = app.front
    assert front is not None
    front.go_to(watch.span[0] + 3_600_000)
    app.session.instant.change_speed(9)
    front.action_play()
    before, began, started = app.session.instant.at_ms or 0, _cpu(server), time.perf_counter()
    pictures, last = 0, front.shown_at_ms
    while time.perf_counter() - started < seconds:
        await asyncio.sleep(0.02)
        if front.shown_at_ms != last:
            pictures, last = pictures + 1, front.shown_at_ms
    elapsed = time.perf_counter() - started
    pause = await watch.drawn(lambda one: one.action_play())
    speed = ((app.session.instant.at_ms or 0) - before) / 1000 / elapsed
    return [
        Result(work="play a host at 60×", figure="pictures a second", value=pictures / elapsed, unit="1/s"),
        Result(work="play a host at 60×", figure="seconds of the past a second", value=speed, unit="s/s"),
        Result(
            work="play a host at 60×", figure="server CPU", value=100 * (_cpu(server) - began) / elapsed, unit="% core"
        ),
        Result(work="play a host at 60×", figure="a key's answer while it plays", value=pause, unit="ms", bar=BAR_MS),
    ]


def _figures(name: str, kind: str, times: list[float], cpu_ms: float) -> list[Result]:
    work = f"replay, {name}, {kind}"
    return [
        Result(work=work, figure="key to drawn, median", value=statistics.median(times), unit="ms", bar=BAR_MS),
        Result(work=work, figure="key to drawn, p95", value=percentile(times, 0.95), unit="ms", bar=BAR_MS),
        Result(work=work, figure="server CPU each", value=cpu_ms, unit="ms"),
    ]


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(hosts: int = 20, hours: float = 24, folder: Path | None = None) -> list[Result]:
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cybercorp-replay-bench-")))
        if not (place / "samples.db").exists():
            began = time.process_time()
            prepare(place, hosts, hours)
            print(f"prepared in {time.process_time() - began:.0f} s of CPU", file=sys.stderr)
        with contextlib.closing(TimeSeries.open(place / "samples.db", TimeSeriesSettings(), SystemClock())) as store:
            span = store.bounds()
        assert span is not None
        with serving(place) as (credential, server):
            return asyncio.run(_measure(credential, server, span))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(
        report(
            measure(
                int(arguments[0]) if arguments else 20,
                float(arguments[1]) if len(arguments) > 1 else 24,
                Path(arguments[2]) if len(arguments) > 2 else None,
            )
        )
    )
