"""A real server and real agents as processes, for the tests that kill and cut them."""

import subprocess
import time
from pathlib import Path

from cybercorp import Client
from cybercorp.core.errors import CyberCorpError
from tests.stack import COMMAND, free_port, is_ready, user_environment, wait_until


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class Fleet:
    """A server and its agents as processes of one user, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.environment = user_environment(folder)
        self.server = self.start_server()
        self.agents: list[subprocess.Popen[bytes]] = []
        self.client = Client(data_dir=folder / "data")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{arguments[0]}.log").open("ab") as log:
            environment = {**self.environment, **variables}
            return subprocess.Popen([*COMMAND, *arguments], env=environment, stdout=log, stderr=log, cwd=self.folder)

    def start_server(self) -> subprocess.Popen[bytes]:
        """Start the server (again, on the same port and data) and wait until it is ready."""
        self.server = self._start("server", "run", "--port", str(self.port))
        wait_until(lambda: is_ready(self.url), "the server is ready")
        return self.server

    def start_agent(self, name: str, url: str | None = None) -> subprocess.Popen[bytes]:
        """Start an agent; one that has not joined yet gets an enrolment token."""
        token = self.client.agents.create_enrolment().token
        agent = self._start(
            "agent",
            "run",
            "--name",
            name,
            CYBERCORP_AGENT_URL=url or self.url,
            CYBERCORP_AGENT_ENROLMENT_TOKEN=token,
        )
        self.agents.append(agent)
        wait_until(lambda: self.newest_ms(name), f"{name} sends")
        return agent

    def newest_ms(self, name: str) -> int:
        """The newest second of which a sample is stored (not merely received), 0 where there is none."""
        second_ms = now_ms() // 1000 * 1000
        try:
            counts = self.counts(name, second_ms - 60_000, second_ms + 2000)
        except CyberCorpError:
            return 0
        return max((at for at, count in counts.items() if count), default=0)

    def counts(self, name: str, start_ms: int, end_ms: int) -> dict[int, float | None]:
        """How many samples each second has, as the REST interface tells it."""
        result = self.client.metrics.query(
            "system.cpu.load_average.1m", hosts=name, since=start_ms, until=end_ms, step="1s", aggregation="count"
        )
        return dict(zip(result.timestamps_ms, result.series[0].values, strict=True)) if result.series else {}

    def wait_until_sampled(self, name: str, at_ms: int) -> None:
        """Wait until samples of this instant are stored."""
        wait_until(lambda: self.newest_ms(name) >= at_ms, f"samples of {name} up to {at_ms}", timeout_s=60)

    def holes(self, name: str, from_ms: int, until_ms: int) -> list[int]:
        """The seconds of which there is no sample."""
        return [at for at, count in self.counts(name, from_ms, until_ms + 1000).items() if not count]

    def close(self) -> None:
        self.client.close()
        for process in [*self.agents, self.server]:
            if process.poll() is None:
                process.terminate()
        for process in [*self.agents, self.server]:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
