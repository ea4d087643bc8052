"""10,000 agents with keys, over TLS, when their server is killed: how long until all of them are back (fault F17).

    python -m benchmarks.reconnects [AGENTS]

Each agent does what a real one does: TLS 1.3 with the pinned authority, the server's challenge, a proof, a hello, the
next generation confirmed. The server is ended with SIGKILL and started again at once; each agent comes back by the
product's own backoff. Meanwhile somebody asks the API ten times a second. The agents live in one process beside the
server: needs two cores. Loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.measure import Result, report
from cybercorp.bench.connections import SimulatedConnection
from cybercorp.bench.figures import Figures
from cybercorp.bench.server import end_process, free_port
from cybercorp.client.backoff import Backoff
from cybercorp.core.ids import new_id
from cybercorp.core.version import VERSION
from cybercorp.protocol.agents import Challenge, Confirm, Hello, Proof, Welcome
from cybercorp.protocol.hosts import HostFacts
from cybercorp.security.agent_keys import AgentKey, new_agent_key, server_key, sign_proof
from cybercorp.security.certificates import trusting
from cybercorp.security.credentials import OWNER_FILE, Credential, read_credential
from cybercorp.server.limits import raise_file_limit
from cybercorp.store.records.agents import AgentRow, AgentState
from cybercorp.store.records.database import Records
from cybercorp.store.records.hosts import HostRow

AGENTS = 10_000
CONNECTING_AT_ONCE = 200
BACK_BAR_S, API_BAR_S, RSS_BAR = 60.0, 1.0, 1.5
PATIENCE_S = 240.0
ASK_S = 0.1


class Agent(SimulatedConnection):
    """One agent; `ready` is set while it is welcomed."""

    path = "/api/v1/agents/connect"

    def __init__(self, host_id: str, key: AgentKey, kept: tuple[int, str], address: str, figures: Figures) -> None:
        super().__init__(host_id, address, f"Agent-Key {host_id}", figures)
        self.host_id, self.key, self.kept = host_id, key, kept
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def opened(self) -> None:
        """The challenge comes first."""

    def heard(self, payload: Any) -> None:
        """Challenge, then welcome."""
        if isinstance(payload, Challenge):
            seen = server_key(self._transport.get_extra_info("ssl_object").getpeercert(True))
            generation, mark = self.kept
            signed = sign_proof(self.key.private, payload.nonce, self.host_id, generation, seen, mark)
            proof = Proof(host_id=self.host_id, generation=generation, server_key=seen, signature=signed, mark=mark)
            self.say("agent.proof", proof)
            hello = Hello(
                version=VERSION,
                stream=self.host_id,
                oldest_seq=0,
                newest_seq=0,
                interval_ms=3_600_000,
                clock_ms=time.time_ns() // 1_000_000,
                facts=HostFacts(hostname=self.host_id),
            )
            self.say("agent.hello", hello)
        elif isinstance(payload, Welcome):
            self.kept = payload.generation, payload.mark
            self.say("agent.confirm", Confirm(generation=payload.generation))
            if not self.ready.done():
                self.ready.set_result(None)

    def ended(self) -> None:
        """Whoever waits learns of it."""
        for one in (self.lost, self.ready):
            if not one.done():
                one.set_result(None) if one is self.lost else one.cancel()


class Fleet:
    """All agents, each connecting again and again."""

    def __init__(self, keys: dict[str, AgentKey], port: int, context: ssl.SSLContext) -> None:
        self._keys = keys
        self._port = port
        self._context = context
        self._gate = asyncio.Semaphore(CONNECTING_AT_ONCE)
        self.connected: set[str] = set()
        self.attempts = 0

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(*(self._keep(host, key) for host, key in self._keys.items()))

    async def until(self, count: int) -> float:
        """Seconds until so many are connected. Raises TimeoutError."""
        began = time.perf_counter()
        async with asyncio.timeout(PATIENCE_S):
            while len(self.connected) < count:  # noqa: ASYNC110 - looked at fifty times a second is exact enough
                await asyncio.sleep(0.02)
        return time.perf_counter() - began

    async def _keep(self, host: str, key: AgentKey) -> None:
        backoff, kept = Backoff(), (1, "")
        while True:
            self.attempts += 1
            made = Agent(host, key, kept, f"127.0.0.1:{self._port}", Figures())
            began = time.perf_counter()
            try:
                async with self._gate, asyncio.timeout(20):
                    await asyncio.get_running_loop().create_connection(
                        lambda made=made: made,  # type: ignore[misc]
                        "127.0.0.1",
                        self._port,
                        ssl=self._context,
                        server_hostname="127.0.0.1",
                    )
                    await made.ready
                kept = made.kept
                self.connected.add(host)
                await made.lost
            except (OSError, TimeoutError, asyncio.CancelledError):
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    made.close()
                    raise
            self.connected.discard(host)
            await asyncio.sleep(backoff.failed(lasted_s=time.perf_counter() - began))


@contextlib.contextmanager
def running(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The server, over TLS on loopback."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CYBERCORP_")}
    environment |= {
        "CYBERCORP_DATA_DIR": str(folder / "data"),
        "CYBERCORP_CONFIG_DIR": str(folder / "config"),
        "CYBERCORP_SERVER_TLS": "true",
    }
    command = [sys.executable, "-m", "cybercorp", "server"]
    if not (folder / "data").exists():
        subprocess.run([*command, "create-certificate", "localhost"], env=environment, check=True, capture_output=True)
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen([*command, "run", "--port", str(port)], env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        end_process(process)


async def fill(folder: Path, count: int) -> dict[str, AgentKey]:
    """So many hosts with a key each, straight in the tables: joining is not what is measured."""
    records = await Records.open(folder / "data" / "records.db")
    keys, hosts, agents = {}, [], []
    for number in range(1, count + 1):
        key, id = new_agent_key(), new_id("host")  # noqa: A001 - the field's word
        keys[id] = key
        hosts.append(HostRow(key=number, id=id, name=f"host-{number:05}", labels={}, facts=HostFacts(), joined_at_ms=1))
        agents.append(
            AgentRow(
                host_id=id,
                public_key=key.public,
                generation=1,
                state=AgentState.ACTIVE,
                enrolled_at_ms=1,
                network="127.0.0.1",
            )
        )
    await records.hosts.restore(hosts)
    await records.agents.restore(agents)
    await records.close()
    return keys


def owner(folder: Path) -> Credential:
    """The local owner's credential, as soon as the server has written it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = read_credential(folder / "data" / OWNER_FILE)
        if found is not None and found.pins:
            return found
        time.sleep(0.05)
    raise TimeoutError("the server did not start")


async def ask(credential: Credential, answers: list[float]) -> None:
    """Somebody uses the API meanwhile; what is not answered within ten seconds counts as ten."""
    async with httpx.AsyncClient(
        base_url=credential.url,
        headers={"Authorization": f"Bearer {credential.token}"},
        verify=trusting(credential.authority),
        trust_env=False,
        timeout=10,
    ) as client:
        while True:
            began = time.perf_counter()
            try:
                await client.get("/api/v1/hosts", params={"limit": 1})
                answers.append(time.perf_counter() - began)
            except httpx.ConnectError:
                pass  # nobody listens: that is the outage, not the storm
            except httpx.HTTPError:
                answers.append(10.0)
            await asyncio.sleep(ASK_S)


async def storm(folder: Path, keys: dict[str, AgentKey], port: int) -> list[Result]:
    """Connect all, kill the server, start it again, wait for all."""
    count = len(keys)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running(folder, port))
        credential = await asyncio.to_thread(owner, folder)
        fleet = Fleet(keys, port, trusting(credential.authority))
        task = asyncio.create_task(fleet.run())
        try:
            joined_s = await fleet.until(count)
            await asyncio.sleep(2)
            steady = psutil.Process(first.pid).memory_info().rss
            answers: list[float] = []
            asking = asyncio.create_task(ask(credential, answers))
            first.kill()
            began, fleet.attempts = time.perf_counter(), 0
            while len(fleet.connected) > count // 2:  # noqa: ASYNC110 - the kill is noticed by half of them
                await asyncio.sleep(0.01)
            second = stack.enter_context(running(folder, port))
            process, peak = psutil.Process(second.pid), 0
            while len(fleet.connected) < count and time.perf_counter() - began < PATIENCE_S:
                with contextlib.suppress(psutil.Error):
                    peak = max(peak, process.memory_info().rss)
                await asyncio.sleep(0.1)
            back_s, missing = time.perf_counter() - began, count - len(fleet.connected)
            asking.cancel()
            cpu = sum(process.cpu_times()[:2])
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    quantiles = statistics.quantiles(answers, n=100) if len(answers) > 2 else [0.0] * 99
    work = f"{count:,} agents over TLS".replace(",", " ")
    return [
        Result(work=work, figure="all connected at first", value=joined_s, unit="s"),
        Result(work=work, figure="all back after SIGKILL", value=back_s, unit="s", bar=BACK_BAR_S),
        Result(work=work, figure="not back", value=missing, unit="", bar=0),
        Result(work=work, figure="attempts an agent", value=fleet.attempts / count, unit=""),
        Result(work=work, figure="server CPU a connection", value=1e3 * cpu / count, unit="ms"),
        Result(work=work, figure="an API request meanwhile, p99", value=quantiles[98], unit="s", bar=API_BAR_S),
        Result(work=work, figure="peak RSS beside steady RSS", value=peak / steady, unit="×", bar=RSS_BAR),
    ]


async def _measure(count: int) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="cybercorp-reconnects-") as name:
        folder, port = Path(name), free_port()
        with running(folder, port):  # makes the tables, the certificate and the owner
            await asyncio.to_thread(owner, folder)
        keys = await fill(folder, count)
        return await storm(folder, keys, port)


def measure(count: int = AGENTS) -> list[Result]:
    """All of it."""
    raise_file_limit()
    import uvloop

    return uvloop.run(_measure(count))


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:]))))
