"""N simulated agents and M viewers against a server, over the real protocol.

    python -m benchmarks.simulator --url URL --token OWNER_TOKEN --agents 1000 --viewers 50 --seconds 60

Agents send 124 series once a second, spread evenly over the second, and measure the time to the acknowledgement;
viewers subscribe to a window of the fleet and to the samples of one host, and measure the time from the agent's stamp
to their own clock (one machine, one clock). Prints one JSON object. Talks to loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np
import websockets
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.measure import percentile
from cybercorp.core.ids import new_id
from cybercorp.core.version import VERSION
from cybercorp.protocol.agents import (
    AnnounceCatalogue,
    EnrolmentRequest,
    EnrolRequest,
    Hello,
    Record,
    Records,
    RecordType,
)
from cybercorp.protocol.hosts import HostFacts, HostSort
from cybercorp.protocol.live import Subscribe, Topic
from cybercorp.protocol.metrics import Catalogue, MetricKind, Series, make_catalogue
from cybercorp.protocol.processes import ProcessTable
from cybercorp.protocol.registry import Codec
from cybercorp.protocol.servers import SUBPROTOCOL_MSGPACK

SERIES = 124
ROWS = 600
TOP_EVERY_S = 10


def catalogue() -> Catalogue:
    """124 series like those of a small host: gauges and counters of the system conventions."""
    gauge, counter = MetricKind.GAUGE, MetricKind.COUNTER
    series = [
        Series(name="system.cpu.utilization"),
        *(Series(name="system.cpu.utilization", attributes={"cpu": str(i)}) for i in range(4)),
        Series(name="system.memory.utilization", attributes={"state": "used"}),
        Series(
            name="system.filesystem.utilization", attributes={"mountpoint": "/", "device": "/dev/vda", "type": "ext4"}
        ),
        Series(name="system.cpu.load_average.1m", unit="{thread}"),
        *(
            Series(name="system.network.io", unit="By", kind=counter, attributes={"device": "eth0", "direction": d})
            for d in ("receive", "transmit")
        ),
    ]
    number = 0
    while len(series) < SERIES:
        kind = counter if number % 2 else gauge
        series.append(Series(name="simulated.value", unit="1", kind=kind, attributes={"index": str(number)}))
        number += 1
    return make_catalogue(series)


def recording(seed: int = 7) -> list[bytes]:
    """ROWS rows that look recorded: wandering gauges with few decimals, counters with integer steps, many constants."""
    random = np.random.default_rng(seed)
    rows = np.empty((ROWS, SERIES))
    for column in range(SERIES):
        if column < 5:
            rows[:, column] = wandering(random, 0.25, 0.05).clip(0, 1).round(4)
        elif column < 7:
            rows[:, column] = wandering(random, 0.5, 0.01).clip(0.02, 0.99).round(4)
        elif column == 7:
            rows[:, column] = wandering(random, 1.5, 0.08).clip(0, None).round(2)
        elif column in (8, 9):
            rows[:, column] = np.cumsum(random.integers(1_000, 900_000, ROWS))
        elif column % 2:
            rows[:, column] = np.cumsum(random.integers(0, 50_000, ROWS) * (column % 3 > 0))
        else:
            rows[:, column] = np.round(random.normal(50, 3), 1) if column % 4 else random.integers(0, 100, ROWS)
    return [row.astype("<f8").tobytes() for row in rows]


def wandering(random: np.random.Generator, mean: float, step: float) -> np.ndarray:
    """ROWS values that walk about and are drawn back to their mean, with bursts now and then."""
    values, value = np.empty(ROWS), mean
    for index in range(ROWS):
        value += 0.08 * (mean - value) + random.normal(0, step) + (6 * step if random.random() < 0.02 else 0)
        values[index] = value
    return values


def top_processes(index: int) -> ProcessTable:
    """Forty processes as an agent records them for history every ten seconds."""
    random = np.random.default_rng(index)
    names = ["postgres", "nginx", "java", "python3", "redis-server", "node", "kubelet", "dockerd"]
    chosen = [names[(index + i * i) % len(names)] for i in range(40)]
    zeros = [0] * 40
    return ProcessTable(
        timestamp_ms=time.time_ns() // 1_000_000,
        total=180,
        partial=True,
        pid=[1000 + i * 7 for i in range(40)],
        parent=[1] * 40,
        name=chosen,
        command=[f"/usr/bin/{name} --config /etc/{name}.conf --worker {i}" for i, name in enumerate(chosen)],
        user=["root" if i % 3 else "app" for i in range(40)],
        state=["S"] * 40,
        cpu=[round(float(value), 3) for value in random.exponential(0.08, 40)],
        cpu_time_s=[float(i) for i in range(40)],
        rss_bytes=[int(value) for value in random.integers(1 << 20, 1 << 30, 40)],
        threads=[1 + i % 9 for i in range(40)],
        read_bytes=list(zeros),
        write_bytes=list(zeros),
        read_rate=[0.0] * 40,
        write_rate=[0.0] * 40,
        started_at_ms=[1_790_000_000_000 + i for i in range(40)],
    )


class Figures:
    """What was seen; delays in seconds."""

    def __init__(self) -> None:
        self.sent = self.acknowledged = self.delivered = self.windows = self.refused = 0
        self.ack_delays: list[float] = []
        self.view_delays: list[float] = []
        self.failures: list[str] = []


def open_socket(address: str, token: str) -> connect:
    """A connection as agents and viewers of ours open it; use it with `async with`."""
    return connect(
        address,
        additional_headers={"Authorization": f"Bearer {token}"},
        subprotocols=[websockets.Subprotocol(SUBPROTOCOL_MSGPACK)],
        compression=None,
        ping_interval=None,
        max_size=2**18,
    )


async def simulate_agent(
    index: int,
    address: str,
    token: str,
    series: Catalogue,
    rows: list[bytes],
    started: float,
    until: float,
    figures: Figures,
) -> None:
    """One agent: hello, catalogue, a row a second until `until` (monotonic), then wait for the last acknowledgement."""
    codec, waiting = Codec(), deque[tuple[int, float]]()
    top_table = msgspec.msgpack.encode(top_processes(index))
    hello = Hello(
        version=VERSION,
        stream=new_id("s"),
        oldest_seq=0,
        newest_seq=0,
        interval_ms=1000,
        clock_ms=time.time_ns() // 1_000_000,
        facts=HostFacts(hostname=f"sim-{index:04}", os_type="linux", cpu_count=4),
    )
    async with open_socket(f"{address}/api/v1/agents/connect", token) as socket:
        await socket.send(codec.encode("agent.hello", hello))
        codec.decode(await socket.recv())
        await socket.send(codec.encode("agent.catalogue", AnnounceCatalogue(id=series.id, series=series.series)))
        reader = asyncio.create_task(read_acknowledgements(socket, codec, waiting, figures))
        seq, second = 0, 0
        while True:
            due = started + second + (index * 0.6180339887) % 1.0
            if due > until:
                break
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            second, seq, now_ms = second + 1, seq + 1, time.time_ns() // 1_000_000
            records = [Record(seq, now_ms, RecordType.SAMPLES, series.id, rows[(second + index * 97) % ROWS])]
            if second % TOP_EVERY_S == index % TOP_EVERY_S:
                seq += 1
                records.append(Record(seq, now_ms, RecordType.PROCESSES, "", top_table))
            waiting.append((seq, time.perf_counter()))
            await socket.send(codec.encode("agent.records", Records(records=records)))
            figures.sent += 1
        for _ in range(100):
            if not waiting:
                break
            await asyncio.sleep(0.1)
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        if waiting:
            figures.failures.append(f"agent {index}: {len(waiting)} rows never acknowledged")


async def read_acknowledgements(
    socket: ClientConnection, codec: Codec, waiting: deque[tuple[int, float]], figures: Figures
) -> None:
    async for data in socket:
        message = codec.decode(data)
        if message.kind == "agent.acknowledge":
            now = time.perf_counter()
            while waiting and waiting[0][0] <= message.payload.seq:
                figures.ack_delays.append(now - waiting.popleft()[1])
                figures.acknowledged += 1
        elif message.kind == "agent.refuse":
            figures.refused += 1
        elif message.kind == "problem":
            figures.failures.append(f"{message.payload.code}: {message.payload.detail}")


async def simulate_viewer(index: int, address: str, token: str, host: str, until: float, figures: Figures) -> None:
    """One viewer: a 40-row window of the fleet and every sample row of one host."""
    codec = Codec()
    async with open_socket(f"{address}/api/v1/live", token) as socket:
        fleet = Subscribe(subscription=1, topic=Topic.HOSTS, sort=HostSort.CPU, descending=True, limit=40)
        await socket.send(codec.encode("live.subscribe", fleet))
        await socket.send(codec.encode("live.subscribe", Subscribe(subscription=2, topic=Topic.METRICS, host=host)))
        first = True
        while (left := until - time.monotonic()) > 0:
            try:
                data = await asyncio.wait_for(socket.recv(), left)
            except TimeoutError:
                break
            message = codec.decode(data)
            if message.kind == "metrics.samples":
                if not first:  # the first is the latest row at subscription, as old as it is
                    figures.view_delays.append(time.time() - message.payload.timestamp_ms / 1000)
                    figures.delivered += 1
                first = False
            elif message.kind == "hosts.window":
                figures.windows += 1
            elif message.kind == "problem":
                figures.failures.append(f"viewer {index}: {message.payload.code}: {message.payload.detail}")


async def enrol(url: str, token: str, agents: int) -> list[str]:
    """Join `agents` hosts `sim-0000…` and return their tokens."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        asked = EnrolmentRequest(uses=agents)
        answer = await http.post(
            "/api/v1/agents/enrolments",
            headers={"Authorization": f"Bearer {token}"},
            json={"expires_in_s": asked.expires_in_s, "uses": asked.uses},
        )
        answer.raise_for_status()
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        tokens = []
        for index in range(agents):
            request = EnrolRequest(name=f"sim-{index:04}")
            answer = await http.post("/api/v1/agents/enrol", headers=headers, json={"name": request.name})
            answer.raise_for_status()
            tokens.append(answer.json()["token"])
        return tokens


async def simulate(url: str, token: str, agents: int, viewers: int, seconds: float) -> dict[str, object]:
    """Run the whole simulation and return its figures."""
    parts = urlsplit(url)
    if parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise SystemExit("The simulator talks to loopback only.")
    address, figures, series, rows = f"ws://{parts.netloc}", Figures(), catalogue(), recording()
    tokens = await enrol(url, token, agents)
    print("enrolled", file=sys.stderr, flush=True)
    ramp = max(1.0, agents / 500)
    started = time.monotonic() + ramp
    until = started + seconds

    async def agent(index: int, secret: str) -> None:
        await asyncio.sleep(index / agents * ramp)
        await simulate_agent(index, address, secret, series, rows, started, until, figures)

    async def viewer(index: int) -> None:
        await asyncio.sleep(ramp + 2 + index * 0.02)
        await simulate_viewer(index, address, token, f"sim-{index * 7 % agents:04}", until, figures)

    work = [agent(i, t) for i, t in enumerate(tokens)] + [viewer(i) for i in range(viewers)]
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            figures.failures.append(f"{type(outcome).__name__}: {outcome}")
    return {
        "agents": agents,
        "viewers": viewers,
        "seconds": seconds,
        "sent": figures.sent,
        "acknowledged": figures.acknowledged,
        "delivered": figures.delivered,
        "windows": figures.windows,
        "refused": figures.refused,
        "ack_p50_ms": 1000 * percentile(figures.ack_delays, 0.5),
        "ack_p99_ms": 1000 * percentile(figures.ack_delays, 0.99),
        "view_p50_ms": 1000 * percentile(figures.view_delays, 0.5),
        "view_p99_ms": 1000 * percentile(figures.view_delays, 0.99),
        "failures": figures.failures[:10],
        "failed": len(figures.failures),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    figures = asyncio.run(simulate(**vars(arguments)))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
