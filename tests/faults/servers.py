"""Real servers as processes that are ill-treated, and simulated agents that keep a ledger of them."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx
import psutil

from tests.faults.ledger import METRIC, STEP_MS, LedgerAgent, check_ledger
from tests.joined import joined, new_key
from tests.stack import COMMAND, free_port, is_ready, user_environment, wait_until

READY_S = 20


class FaultyServer:
    """`cybercorp server run` as a process that is killed and started again on the same data and port."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None, *, secure: bool = False) -> None:
        """`environment` is added to that of a user whose folders lie in `folder`; `secure`: it speaks TLS."""
        self.port = free_port()
        self.url = f"{'https' if secure else 'http'}://127.0.0.1:{self.port}"
        self.folder = folder
        self.environment = {**user_environment(folder), **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.context: ssl.SSLContext | None = None
        if secure:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
            self.environment["CYBERCORP_SERVER_TLS"] = "true"
            command = [*COMMAND, "server", "create-certificate", "localhost"]
            subprocess.run(command, env=self.environment, check=True, capture_output=True, cwd=folder)

    def start(self) -> None:
        """Start it (again), and wait until it is ready."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "server", "run", "--port", str(self.port)],
                env=self.environment,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        process = self.process
        try:
            wait_until(lambda: is_ready(self.url) or process.poll() is not None, "the server is ready again", READY_S)
            assert process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(20)

    @property
    def memory_bytes(self) -> int:
        """What it has of the machine's memory (RSS)."""
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)

    @property
    def owner(self) -> dict[str, str]:
        token = json.loads((self.data_dir / "owner.json").read_text())["token"]
        return {"Authorization": f"Bearer {token}"}

    @property
    def _verify(self) -> ssl.SSLContext | bool:
        return self.context or True

    @property
    def data_dir(self) -> Path:
        return Path(self.environment["CYBERCORP_DATA_DIR"])

    def get(self, path: str, **params: object) -> object:
        """The JSON answer of a GET with the owner's token."""
        answer = httpx.get(f"{self.url}{path}", headers=self.owner, params=params, timeout=30, verify=self._verify)  # type: ignore[arg-type]
        return answer.raise_for_status().json()

    def info(self) -> dict[str, object]:
        """What the server says of itself."""
        found = self.get("/api/v1/server")
        assert isinstance(found, dict)
        return found

    def agents(self, count: int) -> list[LedgerAgent]:
        """Join hosts `ledger-1…`; their rows lie a minute in the past, so that nothing lies in the future."""
        clock_ms = self.info()["clock_ms"]
        assert isinstance(clock_ms, int)
        start_ms = clock_ms // 1000 * 1000 - 60_000
        return [LedgerAgent(n, self.url, t, start_ms, self.context) for n, t in enumerate(self.enrol(count), start=1)]

    def stored(self, agents: list[LedgerAgent]) -> dict[int, list[float | None]]:
        """Every stored row of every agent, by its number; a few steps beyond the last one sent."""
        start_ms = agents[0].start_ms + STEP_MS
        end_ms = start_ms + (max(agent.sent for agent in agents) + 5) * STEP_MS
        answer = self.get(
            "/api/v1/metrics/query",
            metric=METRIC,
            start_ms=start_ms,
            end_ms=end_ms,
            step_ms=STEP_MS,
            aggregation="last",
        )
        assert isinstance(answer, dict)
        assert answer["start_ms"] == start_ms
        return {int(one["host"].removeprefix("ledger-")): one["values"] for one in answer["series"]}

    def check(self, agents: list[LedgerAgent]) -> list[str]:
        """What is wrong with what is stored, one sentence each."""
        storage = self.info()["storage"]
        assert isinstance(storage, dict)
        return check_ledger(agents, self.stored(agents), storage["samples_total"])

    def enrol(self, count: int, name: str = "ledger") -> list[str]:
        """New hosts `NAME-1…` with their keys (see `tests.joined`)."""
        made = httpx.post(
            f"{self.url}/api/v1/agents/enrolments", headers=self.owner, json={"count": count}, verify=self._verify
        )
        tokens = []
        for number, token in enumerate(made.raise_for_status().json()["tokens"], 1):
            key, bearer = new_key(), {"Authorization": f"Bearer {token}"}
            body = {"name": f"{name}-{number}", "public_key": key.public}
            answer = httpx.post(
                f"{self.url}/api/v1/agents/enrol", headers=bearer, json=body, verify=self._verify
            ).raise_for_status()
            tokens.append(joined(str(answer.json()["host_id"]), key))
        return tokens


async def finish(running: list[asyncio.Task[None]], stop: asyncio.Event) -> None:
    """Let the agents send what they still have, and wait until all of it is acknowledged."""
    await asyncio.sleep(1)
    stop.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*running)
