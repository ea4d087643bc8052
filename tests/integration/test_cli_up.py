"""`cybercorp up` with real processes: starts, says what happens, heals, attaches, and leaves nothing running."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.terminal import Terminal
from tests.stack import COMMAND, free_port, is_ready, user_environment, wait_until


class Up:
    """A `cybercorp up` of the test's own; what it says is in `said`."""

    def __init__(self, folder: Path, *arguments: str, wrapper: tuple[str, ...] = (), **variables: str) -> None:
        self.folder = folder
        self.environment = {**user_environment(folder), **variables}
        self._path = folder / f"up-{len(list(folder.glob('up-*.log')))}.log"
        self._log = self._path.open("w")
        self.process = subprocess.Popen(
            [*wrapper, *COMMAND, "up", "--headless", *arguments],
            env=self.environment,
            stdout=self._log,
            stderr=self._log,
            cwd=folder,
        )

    @property
    def said(self) -> str:
        return self._path.read_text()

    def child(self, name: str) -> psutil.Process | None:
        """The running child whose command line names this program."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in psutil.Process(self.process.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if name in one.cmdline() and one.status() != psutil.STATUS_ZOMBIE:
                        return one
        return None

    def wait_for(self, text: str, timeout_s: float = 30) -> str:
        """What was said, once it holds this text."""
        wait_until(
            lambda: text in self.said or self.process.poll() is not None, f"{text!r} in {self.said!r}", timeout_s
        )
        assert text in self.said, self.said
        return self.said

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code after this signal."""
        self.process.send_signal(with_signal)
        return self.process.wait(20)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command of the same user."""
        return subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=self.folder,
        )

    def close(self) -> None:
        """End it where a test has failed half-way."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()


@contextlib.contextmanager
def running(folder: Path, *arguments: str, wrapper: tuple[str, ...] = (), **variables: str) -> Iterator[Up]:
    made = Up(folder, *arguments, wrapper=wrapper, **variables)
    try:
        yield made
    finally:
        made.close()


def left_running(folder: Path) -> list[str]:
    """Processes whose command line names this test's folder."""
    found = []
    for one in psutil.process_iter(["cmdline", "status"]):
        words = one.info["cmdline"] or []
        if any(str(folder) in word for word in words) and one.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(" ".join(words))
    return found


def test_a_cold_start_shows_live_numbers_within_ten_seconds(tmp_path: Path) -> None:
    """From nothing: server ready, agent joined by itself, first numbers; Ctrl-C stops all of it with exit code 0."""
    with running(tmp_path, "--port", str(free_port())) as up:
        said = up.wait_for(" is live (")
        seconds = float(re.findall(r"is live \((\d+\.\d) s\)", said)[0])
        assert seconds < 10
        hosts = up.run("hosts", "-o", "json")
        assert '"state":"online"' in hosts.stdout
        assert up.child("server") is not None
        assert up.child("agent") is not None
        assert up.stop(signal.SIGINT) == 0
        assert "Stopped." in up.said
    assert left_running(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_service_manager_or_a_closed_terminal_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGHUP act as Ctrl-C does."""
    with running(tmp_path, "--port", "0") as up:
        up.wait_for("The server is ready")
        assert up.stop(number) == 0
    assert left_running(tmp_path) == []


def test_in_the_background_of_a_shell_sigterm_stops_it_and_nohup_is_kept(tmp_path: Path) -> None:
    """A shell's background job ignores SIGINT, nohup makes it ignore SIGHUP; SIGTERM still ends everything."""
    with running(tmp_path, "--port", "0", "--no-agent", wrapper=("sh", "-c", 'trap "" INT HUP; exec "$@"', "sh")) as up:
        up.wait_for("Press Ctrl-C")
        up.process.send_signal(signal.SIGHUP)
        up.process.send_signal(signal.SIGINT)
        assert up.run("hosts").returncode == 0
        assert up.stop() == 0
    assert left_running(tmp_path) == []


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    """kill -9 on `up` ends server and agent as well: they see their lifeline cut."""
    with running(tmp_path, "--port", "0") as up:
        up.wait_for(" is live (")
        up.stop(signal.SIGKILL)
    wait_until(lambda: not left_running(tmp_path), f"everything ended, but {left_running(tmp_path)}", 15)


@pytest.mark.slow
def test_a_child_that_dies_is_started_again_and_the_history_goes_on(tmp_path: Path) -> None:
    """kill -9 on the server, then on the agent: each is said and healed, and the numbers come again."""
    with running(tmp_path, "--port", str(port := free_port())) as up:
        up.wait_for(" is live (")
        for name in ("server", "agent"):
            victim = up.child(name)
            assert victim is not None
            victim.kill()
            up.wait_for(f"The {name} stopped: ended by SIGKILL. Starting it again in")
            up.wait_for(f"The {name} was started again.")
            wait_until(lambda: is_ready(f"http://127.0.0.1:{port}"), "the server answers again")
        wait_until(lambda: '"state":"online"' in up.run("hosts", "-o", "json").stdout, "the host is online again")
        assert up.stop() == 0
    assert left_running(tmp_path) == []


def test_a_second_up_attaches(tmp_path: Path) -> None:
    """On the same data: it says where the first one runs and ends with 0, whatever port it was given."""
    with running(tmp_path, "--port", str(port := free_port()), "--no-agent") as up:
        up.wait_for("The server is ready")
        for more in ([], ["--port", str(free_port())]):
            second = up.run("up", "--headless", *more)
            assert second.returncode == 0
            assert f"already running at http://127.0.0.1:{port}" in second.stderr
        assert up.process.poll() is None
        up.stop()


def test_two_ups_at_once_make_one(tmp_path: Path) -> None:
    """Started in the same instant, one serves and the other attaches to it."""
    with (
        running(tmp_path, "--port", "0", "--no-agent") as first,
        running(tmp_path, "--port", "0", "--no-agent") as second,
    ):
        done = wait_until(lambda: [one for one in (first, second) if one.process.poll() is not None], "one attaches")
        assert [one.process.returncode for one in done] == [0]
        assert "already running" in done[0].said
        for one in (first, second):
            if one.process.poll() is None:
                assert one.stop() == 0
    assert left_running(tmp_path) == []


@pytest.mark.slow
def test_history_is_found_again(tmp_path: Path) -> None:
    """A second start has the same host and its samples, and the agent needs no new place."""
    with running(tmp_path, "--port", "0") as up:
        up.wait_for(" is live (")
        before = up.run("hosts", "-o", "json").stdout
        up.stop()
    with running(tmp_path, "--port", "0") as up:
        up.wait_for(" is live (")
        after = up.run("hosts", "-o", "json").stdout
        up.stop()
    pattern = r'"id":"(\S+?)"'
    assert re.findall(pattern, before) == re.findall(pattern, after)
    assert len(re.findall(pattern, after)) == 1


def test_without_an_agent_there_is_no_host(tmp_path: Path) -> None:
    """--no-agent starts the server alone, and `hosts` says how to add one."""
    with running(tmp_path, "--port", "0", "--no-agent") as up:
        assert "Press Ctrl-C to stop the server." in up.wait_for("Press Ctrl-C")
        up.wait_for("The server is ready")
        assert up.child("agent") is None
        hosts = up.run("hosts")
        assert (hosts.returncode, hosts.stdout) == (0, "")
        assert "There is no host yet." in hosts.stderr
        up.stop()


def test_a_taken_port_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    """Exit 1, naming the port and --port; nothing was started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with running(tmp_path, "--port", str(port)) as up:
            assert up.process.wait(20) == 1
            assert f"error: Port {port} on 127.0.0.1 is in use" in up.said
            assert "--port" in up.said
    assert left_running(tmp_path) == []


def test_a_taken_default_port_is_no_obstacle(tmp_path: Path) -> None:
    """Without --port the next free one is taken, and said so."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with running(tmp_path, "--no-agent", CYBERCORP_SERVER_PORT=str(port)) as up:
            said = up.wait_for("The server is ready")
            assert f"Port {port} is in use by another program; using " in said
            assert up.run("hosts").returncode == 0
            up.stop()


def test_a_data_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """Exit 1, naming the folder and what to do."""
    (tmp_path / "file").write_text("no folder")
    with running(tmp_path, "--data-dir", str(tmp_path / "file")) as up:
        assert up.process.wait(20) == 1
        assert f"The folder {tmp_path / 'file'} cannot be written" in up.said
        assert "--data-dir" in up.said


def test_a_corrupt_database_is_told_in_words(tmp_path: Path) -> None:
    """The server's reason reaches the person who ran `up`; the file is left as it is."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "records.db").write_bytes(b"this is no database" * 100)
    with running(tmp_path, "--port", "0") as up:
        assert up.process.wait(30) not in (0, 70)
        assert "records.db" in up.said
        assert "Traceback" not in up.said
    assert (data / "records.db").read_bytes() == b"this is no database" * 100
    assert left_running(tmp_path) == []


def test_an_unknown_setting_is_told_in_words(tmp_path: Path) -> None:
    """A wrong variable ends it before anything is started, with the nearest right name."""
    with running(tmp_path, CYBERCORP_SERVER_PROT="1") as up:
        assert up.process.wait(20) == 2
        assert "Did you mean 'port'?" in up.said


def test_the_dashboard_needs_a_terminal(tmp_path: Path) -> None:
    """On a pipe `up` names --headless instead of drawing into it."""
    answer = subprocess.run(
        [*COMMAND, "up"],
        env=user_environment(tmp_path),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=30,
    )
    assert answer.returncode == 2
    assert "--headless" in answer.stderr


@pytest.mark.parametrize(
    "ending", ["q", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SIGTERM", "SIGHUP", "SIGKILL"))]
)
def test_the_dashboard_ends_and_takes_everything_along(tmp_path: Path, ending: str) -> None:
    """However the dashboard ends, server and agent of `up` end too; the terminal is given back."""
    environment = {**user_environment(tmp_path), "CYBERCORP_SERVER_PORT": str(free_port())}
    with Terminal([*COMMAND, "up", "--data-dir", str(tmp_path / "data")], environment) as terminal:
        terminal.wait_for("LIVE")
        if ending == "q":
            terminal.press("q")
        else:
            os.kill(terminal.process.pid, signal.Signals[ending])
        wait_until(lambda: not terminal.read() and terminal.process.poll() is not None, "it ends", 20)
        if ending != "SIGKILL":
            assert terminal.process.returncode == 0
            assert b"\x1b[?1049l" in terminal.sent
    wait_until(lambda: not left_running(tmp_path), f"everything ended, but {left_running(tmp_path)}", 15)
