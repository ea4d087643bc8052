"""Process history with a real agent: a child that starts, works and ends is found again, by every way to ask."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cybercorp.client.synchronous import Client
from cybercorp.protocol.processes import ProcessEvent, ProcessEventKind
from tests.stack import COMMAND, Stack, running_stack, wait_until

MARK = "history-of-a-child"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Server and agent that record processes every second."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "config").mkdir()
    (folder / "config" / "agent.toml").write_text("top_processes_interval_s = 1.0\n")
    with running_stack(folder) as running:
        yield running


def events(client: Client, host: str, kind: ProcessEventKind) -> list[ProcessEvent]:
    """Those of our child."""
    found = client.processes.events(host, name=MARK).events
    return [one for one in found if one.kind is kind]


@pytest.mark.slow
def test_a_child_from_start_to_exit(quick: Stack) -> None:
    """Its start with command line and parent, its table while it worked, its exit with what it took."""
    burn = "import time; end = time.monotonic() + 3\nwhile time.monotonic() < end: pass"
    with Client(quick.url, token=quick.token) as client:
        host = client.hosts.list()[0].name
        wait_until(lambda: client.processes.list(host), "a table")
        child = subprocess.Popen([sys.executable, "-c", burn, MARK])
        (started,) = wait_until(lambda: events(client, host, ProcessEventKind.STARTED), "its start")
        assert started.pid == child.pid
        assert MARK in (started.command or "")
        child.wait()
        (exited,) = wait_until(lambda: events(client, host, ProcessEventKind.EXITED), "its exit")
        assert (exited.pid, exited.started_at_ms) == (child.pid, started.started_at_ms)
        assert started.time_ms <= (exited.seen_at_ms or 0) < exited.time_ms
        assert (exited.cpu_time_s or 0) > 0.2
        table = client.processes.list(host, at_ms=exited.seen_at_ms).table
        assert child.pid in table.pid
    listed = quick.run("ps", "--events", "--name", MARK, "-o", "json")
    rows = json.loads(listed.stdout)
    assert [(row["kind"], row["pid"]) for row in rows] == [("started", child.pid), ("exited", child.pid)]
    assert rows[1]["lived_s"] > 1
    shown = quick.run("ps", "--events", "--name", MARK, "--since", "10m").stdout
    assert "started" in shown
    assert MARK in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--events", "--at", "1m ago"], "--events lists a span"),
        (["--events", "--tree"], "--events lists a span"),
        (["--events", "--since", "9d"], "longer than a week"),
        (["--events", "--since", "1m", "--until", "5m"], "ends before it begins"),
    ],
)
def test_wrong_questions(quick: Stack, arguments: list[str], said: str, tmp_path: Path) -> None:
    """One clear line, exit code 2."""
    done = subprocess.run(
        [*COMMAND, "ps", *arguments], env=quick.environment, capture_output=True, text=True, timeout=30, cwd=tmp_path
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
