"""What authentication and authorisation of agents cost the ingest path: the same load on and off, in turns, in one run.

    python -m benchmarks.ingest_auth [AGENTS] [TURNS]

Every agent connects, sends 60 rows of 124 samples, waits until all are durable, and comes back for the next 60, as one
does that is cut off once a minute. The rows of a connection are sent in one go, which the server takes cheaper than one
a second: the share of authentication is the larger for it. Sealing is later and not counted.

`on` is the product. `off` is the same server in a process where this benchmark has put a function in the place of the
challenge, the proof and the generations that admits whoever names a host; there is no such setting. Both over plain
loopback; over TLS as well, for information. CPU is the server's own, user and system.
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

from benchmarks.measure import PYTHON, Result, report
from benchmarks.reconnects import fill, owner
from cybercorp.bench.agents import Identity, RowFrames, SimulatedAgent
from cybercorp.bench.figures import Figures
from cybercorp.bench.recording import SERIES
from cybercorp.bench.server import end_process, free_port
from cybercorp.security.certificates import trusting
from cybercorp.security.credentials import OWNER_FILE, read_credential

AGENTS, TURNS = 150, 31
ROWS, AT_ONCE = 60, 25
BAR_PERCENT = 15.0
PATIENCE_S = 60.0
ROOT = Path(__file__).resolve().parent.parent
VARIANTS = ("on", "off", "on, TLS", "off, TLS")


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its threads so far, to the nanosecond (`schedstat`; the usual ticks are 10 ms)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((one / "schedstat").read_text().split()[0]) for one in tasks) / 1e9


class UnprovenAgent(SimulatedAgent):
    """One that is asked for nothing."""

    def opened(self) -> None:
        """Greet at once."""
        self.greet()


class Place:
    """One server under load, and what its agents keep from one connection to the next."""

    def __init__(self, folder: Path, variant: str, port: int) -> None:
        self.variant, self.folder, self.port = variant, folder, port
        self.secure = variant.endswith("TLS")
        self.spent: list[float] = []
        self.figures = Figures()
        self.context: ssl.SSLContext | None = None
        self.pid = 0
        self._agents: dict[int, tuple[Identity, str, int]] = {}
        self._frames = RowFrames()
        self._start_ms = 0

    def take(self, identities: list[Identity], rows: int) -> None:
        """These are its agents; each will send so many rows, the last one now."""
        self._agents = {index: (one, f"s{index}", 0) for index, one in enumerate(identities)}
        self._start_ms = time.time_ns() // 1_000_000 - rows * 1000

    async def turn(self) -> None:
        """Every agent connects, sends and goes; what that costs the server."""
        before, gate = cpu_s(self.pid), asyncio.Semaphore(AT_ONCE)

        async def live(index: int) -> None:
            async with gate:
                await asyncio.wait_for(self._connect(index), PATIENCE_S)

        await asyncio.gather(*(live(index) for index in self._agents))
        self.spent.append(cpu_s(self.pid) - before)

    async def _connect(self, index: int) -> None:
        identity, stream, sent = self._agents[index]
        kind = SimulatedAgent if self.variant.startswith("on") else UnprovenAgent
        made = kind(index, f"127.0.0.1:{self.port}", identity, 1000, self._frames, self.figures)
        made.stream, made.sent, made.acked = stream, sent, sent
        done = asyncio.get_running_loop().create_future()

        def acknowledged(agent: SimulatedAgent) -> None:
            if (agent.closed or agent.acked == sent + ROWS) and not done.done():
                done.set_result(None)

        made.on_acknowledged = acknowledged
        options: dict[str, Any] = {"ssl": self.context, "server_hostname": "127.0.0.1"} if self.secure else {}
        await asyncio.get_running_loop().create_connection(lambda: made, "127.0.0.1", self.port, **options)
        await made.ready
        for number in range(sent + 1, sent + ROWS + 1):
            made.send(self._start_ms + number * 1000)
        await done
        if made.acked != sent + ROWS:
            raise RuntimeError(f"{self.variant}: {self.figures.failures}")
        self._agents[index] = made.identity, stream, made.acked
        made.close()


@contextlib.contextmanager
def running(place: Place) -> Iterator[None]:
    """Its server; `off` with the authenticator that this benchmark plants."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CYBERCORP_")}
    environment |= {
        "CYBERCORP_DATA_DIR": str(place.folder / "data"),
        "CYBERCORP_CONFIG_DIR": str(place.folder / "config"),
        "CYBERCORP_SERVER_TLS": "true" if place.secure else "false",
    }
    product = [PYTHON, "-m", "cybercorp"]
    if place.secure and not (place.folder / "data").exists():
        command = [*product, "server", "create-certificate", "localhost"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    planted = [PYTHON, "-m", "benchmarks.ingest_auth", "--plant"]
    command = [*(product if place.variant.startswith("on") else planted), "server", "run", "--port", str(place.port)]
    (place.folder / "data" / OWNER_FILE).unlink(missing_ok=True)  # it is written anew when the server listens
    with (place.folder / "server.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=ROOT)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while (found := read_credential(place.folder / "data" / OWNER_FILE)) is None or not found.url.endswith(
            str(place.port)
        ):
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError((place.folder / "server.log").read_text()[-500:])
            time.sleep(0.05)
        place.pid = process.pid
        yield
    finally:
        end_process(process)


def serve_unproven(arguments: list[str]) -> int:
    """`cybercorp …` in this process, whose server admits every agent that names a host."""
    from cybercorp.cli.main import run
    from cybercorp.server.services.agent_keys import Admission
    from cybercorp.server.services.policy import AGENT
    from cybercorp.server.services.principals import Principal, PrincipalKind
    from cybercorp.server.websocket import agents
    from cybercorp.server.websocket.connection import choose_codec

    async def admit(socket: Any, services: Any, named: str) -> Any:
        host = services.fleet.find(named)
        chosen, codec = choose_codec(socket)
        await socket.accept(subprotocols=chosen)
        principal = Principal(kind=PrincipalKind.AGENT, id=host.id, name=host.name, rights=AGENT, host_id=host.id)
        socket.scope["user"] = principal
        return host, codec, Admission(principal, 0, "")

    agents.__dict__["admit_by_key"] = admit
    return run(arguments)


async def _measure(folder: Path, count: int, turns: int) -> list[Result]:
    places = []
    for number, variant in enumerate(VARIANTS):
        made = Place(folder / f"server-{number}", variant, free_port())
        made.folder.mkdir()
        with running(made):  # makes the tables and the owner
            pass
        keys = await fill(made.folder, count)
        identities = [Identity(host_id=host, private_key=key.private) for host, key in keys.items()]
        made.take(identities, (turns + 1) * ROWS)
        places.append(made)
    with contextlib.ExitStack() as stack:
        for one in places:
            stack.enter_context(running(one))
            if one.secure:
                one.context = trusting(owner(one.folder).authority)
        for turn in range(turns + 1):
            for one in places if turn % 2 else reversed(places):
                await one.turn()
    return _results({one.variant: one.spent[1:] for one in places}, count)  # the first turn warms up


def _results(spent: dict[str, list[float]], count: int) -> list[Result]:
    rows = count * ROWS
    work = f"{count} agents, {ROWS} rows × {SERIES} a connection"
    results = []
    for on, off, title, bar in (
        ("on", "off", "plain", BAR_PERCENT),
        ("on, TLS", "off, TLS", "TLS", None),
    ):
        pairs = list(zip(spent[on], spent[off], strict=True))
        cost = statistics.median(with_ - without for with_, without in pairs)
        whole = statistics.median(spent[on])
        results += [
            Result(work=work, figure=f"{title}: server CPU a row, on", value=1e6 * whole / rows, unit="µs CPU"),
            Result(
                work=work,
                figure=f"{title}: server CPU a row, off",
                value=1e6 * statistics.median(spent[off]) / rows,
                unit="µs CPU",
            ),
            Result(work=work, figure=f"{title}: of a connection", value=1e3 * cost / count, unit="ms CPU"),
            Result(work=work, figure=f"{title}: share of authentication", value=100 * cost / whole, unit="%", bar=bar),
        ]
    return results


def measure(agents: int = AGENTS, turns: int = TURNS) -> list[Result]:
    """All of it."""
    import uvloop

    with tempfile.TemporaryDirectory(prefix="cybercorp-ingest-auth-") as name:
        return uvloop.run(_measure(Path(name), agents, turns))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--plant"]:
        sys.exit(serve_unproven(sys.argv[2:]))
    sys.exit(report(measure(*map(int, sys.argv[1:]))))
