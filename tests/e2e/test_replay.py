"""An incident as a person meets it: exported on one machine, opened on another that has no server."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.terminal import Terminal
from tests.stack import COMMAND, Stack, running_stack, user_environment, wait_until

BURN = "import time; until = time.monotonic() + 14; n = 0\nwhile time.monotonic() < until: n += 1"


@pytest.fixture(scope="module")
def incident(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seconds of this machine as one file, once there is a process table in them."""
    name = stack.run("hosts", "-o", "csv").stdout.splitlines()[1].split(",")[0]
    wait_until(lambda: stack.run("ps", name, "--at", "1s ago", check=False).returncode == 0, "recorded processes", 40)
    path = tmp_path_factory.mktemp("incident") / "incident.ccrec"
    told = stack.run("export", "incident", "--host", name, "--from", "5m", "-o", str(path))
    assert "process tables" in told.stdout
    return path


def left_of(path: Path) -> list[str]:
    """Processes that still serve this file."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(path) in words:
            found.append(" ".join(words))
    return found


@pytest.mark.slow
def test_a_recording_opens_where_there_is_no_server(incident: Path, tmp_path: Path) -> None:
    """`replay FILE` shows the host, its processes and events by the usual keys; `q` leaves nothing behind."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**user_environment(tmp_path), "TMPDIR": str(temporary)}
    with Terminal([*COMMAND, "replay", str(incident)], environment) as terminal:
        terminal.wait_for("REC", 30)
        terminal.press("l")
        terminal.wait_for(lambda text: re.search(r"CPU +\d+(\.\d+)? ?%", text) is not None, 20)
        terminal.wait_for(lambda text: re.search(r"Processes [\d,]+ at \d", text) is not None, 20)
        assert "RECORDING" in terminal.text
        assert "LIVE" not in terminal.text
        terminal.press("e")
        terminal.wait_for("host.joined", 20)
        terminal.press("q")
        assert terminal.process.wait(20) == 0
    wait_until(lambda: not left_of(incident), "its server is gone", 10)
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_a_killed_dashboard_leaves_no_server(incident: Path, tmp_path: Path) -> None:
    """The recording's server ends with the dashboard, also after `kill -9`, and takes its files along."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**user_environment(tmp_path), "TMPDIR": str(temporary)}
    with Terminal([*COMMAND, "replay", str(incident)], environment, columns=80, lines=24) as terminal:
        terminal.wait_for("REC", 30)
        terminal.process.kill()
        terminal.process.wait(5)
        wait_until(lambda: not left_of(incident), "its server is gone", 15)
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_a_served_recording_answers_the_command_line(incident: Path, tmp_path: Path) -> None:
    """`--headless` serves the file; the usual commands ask it, and nothing can be changed."""
    environment, folder = user_environment(tmp_path), tmp_path / "unpacked"
    command = [*COMMAND, "--data-dir", str(folder)]
    served = subprocess.Popen(
        [*command, "replay", str(incident), "--headless"], env=environment, stderr=subprocess.PIPE, cwd=tmp_path
    )

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *words], env=environment, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
        )

    try:
        wait_until(lambda: (folder / "owner.json").exists() and run("hosts").returncode == 0, "it is served", 30)
        assert run("ps", "-o", "csv").stdout.count("\n") > 3
        assert run("metrics", "query", "cpu", "--since", "5m", "-o", "csv").returncode in (0, 1)
        refused = run("hosts", "label", run("hosts", "-o", "csv").stdout.splitlines()[1].split(",")[0], "a=b")
        assert (refused.returncode, "recording" in refused.stderr) == (3, True), refused
    finally:
        served.terminate()
        assert served.wait(20) == 0
        assert served.stderr is not None
        served.stderr.close()


@pytest.mark.slow
def test_who_did_this_names_the_process_that_burned(tmp_path: Path) -> None:
    """A real program burns a core for some seconds and ends; the chart's cursor on its spike names it, by key."""
    with running_stack(tmp_path) as stack:
        name = stack.run("hosts", "-o", "csv").stdout.splitlines()[1].split(",")[0]
        wait_until(lambda: stack.run("ps", name, "--at", "1s ago", check=False).returncode == 0, "a table", 40)
        burner = subprocess.Popen([sys.executable, "-c", BURN])
        burner.wait(60)
        listed = re.compile(rf"^│▌? +{burner.pid} ", re.MULTILINE)
        ended = time.monotonic()
        wait_until(lambda: time.monotonic() > ended + 12, "a table without it", 20)
        with Terminal([*COMMAND, "tui"], stack.environment) as terminal:
            terminal.wait_for("LIVE")
            terminal.wait_for(lambda text: re.search(r"Processes \d+ ", text) is not None)
            assert not listed.search(terminal.text), terminal.text
            terminal.press("w")
            for _ in range(40):
                if listed.search(terminal.text):
                    break
                terminal.press("\x1b[D")
            assert listed.search(terminal.text), terminal.text
            assert re.search(r"Processes \d+ at [\d:]+", terminal.text), terminal.text
            terminal.press("q")
            assert terminal.process.wait(15) == 0
