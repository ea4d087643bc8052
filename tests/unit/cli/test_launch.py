"""Children under supervision, with real processes: started, restarted, stopped, and never left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.cli.launch.children import Child
from cybercorp.cli.launch.local import choose_port, only_up, running_server
from cybercorp.cli.launch.logs import MOST_BYTES, ROTATE_BYTES, ChildLog
from cybercorp.cli.launch.supervisor import LONGEST_DELAY_S, Supervisor, backoff_s
from cybercorp.core.errors import PortInUseError
from cybercorp.security.credentials import OWNER_FILE, Credential, write_credential
from tests.stack import wait_until

# A child as ours are: it holds its lifeline, says when it is ready, and waits for SIGTERM.
OBEDIENT = (
    "import signal, sys\nfrom cybercorp.cli.launch.lifeline import hold_lifeline\nhold_lifeline()\n"
    "print('ready', file=sys.stderr, flush=True)\nsignal.sigwait([signal.SIGUSR2])\n"
)
STUBBORN = OBEDIENT.replace("import signal, sys", "import signal, sys\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return False


def is_ready(child: Child) -> bool:
    return child.log.path.exists() and "ready" in child.log.path.read_text()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    made = Child("server", python(OBEDIENT), tmp_path / "logs" / "server.log")
    yield made
    made.kill()


def test_a_child_starts_and_stops_on_request(child: Child) -> None:
    """SIGTERM ends it; its output is in its log."""
    child.start()
    wait_until(lambda: is_ready(child), "the child is ready")
    pid = child.pid
    assert pid is not None
    child.stop(10)
    assert not is_running(pid)
    assert child.pid is None


def test_a_child_that_ignores_sigterm_is_ended(tmp_path: Path) -> None:
    """After its time is over it is killed: nothing is left running."""
    child = Child("agent", python(STUBBORN), tmp_path / "agent.log")
    child.start()
    wait_until(lambda: is_ready(child), "the child is ready")
    child.stop(0.2)
    assert child.exit_code == -signal.SIGKILL


def test_a_child_is_not_reached_by_ctrl_c(child: Child) -> None:
    """It has its own session, so that the supervisor stops things in order."""
    child.start()
    pid = child.pid
    assert pid is not None
    assert os.getsid(pid) == pid


def test_a_child_that_dies_is_started_again_and_said_so(child: Child) -> None:
    """kill -9 on a child: a notice with the reason, a new process."""
    said: list[str] = []
    supervisor = Supervisor(said.append)
    supervisor.add(child)
    try:
        supervisor.watch(child)
        wait_until(lambda: child.pid and is_ready(child), "the child is ready")
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: supervisor.restarts == 1 and child.pid, "it runs again")
        assert child.pid != first
        assert "The server stopped: ended by SIGKILL. Starting it again in" in said[0]
        assert said[1] == "The server was started again."
        assert supervisor.take_notices() == said
        assert supervisor.take_notices() == []
    finally:
        supervisor.stop()
    assert child.pid is None


def test_the_words_of_a_failing_child_reach_the_person(tmp_path: Path) -> None:
    """A child that ends with `error:` on stderr is quoted."""
    code = "import sys; sys.stderr.write('noise\\nerror: The disk is full.\\nhint: Free it.\\n'); sys.exit(1)"
    child = Child("agent", python(code), tmp_path / "agent.log")
    supervisor = Supervisor()
    supervisor.add(child)
    notices: list[str] = []
    try:
        supervisor.watch(child)
        wait_until(lambda: notices or notices.__iadd__(supervisor.take_notices()), "a notice")
    finally:
        supervisor.stop()
    assert notices[0].startswith("The agent stopped: The disk is full. Starting it again in")
    assert child.log.failure() == ("The disk is full.", "Free it.")


def test_a_child_that_cannot_be_prepared_is_tried_again(child: Child) -> None:
    """A failing preparation (the server is away) is a notice, not an end."""
    calls: list[int] = []

    def prepare(_: Child) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise PortInUseError("Nobody answers.")

    said: list[str] = []
    supervisor = Supervisor(said.append)
    supervisor.add(child)
    try:
        supervisor.watch(child, prepare=prepare)
        wait_until(lambda: child.pid, "it runs")
    finally:
        supervisor.stop()
    assert said[0].startswith("The server could not be started: Nobody answers. Starting it again")


def test_stopping_twice_and_before_anything_started_is_harmless(child: Child) -> None:
    """Ctrl-C may come at any moment."""
    supervisor = Supervisor()
    supervisor.add(child)
    supervisor.stop()
    supervisor.stop()
    assert child.exit_code is None


def test_children_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    """kill -9 on the supervisor closes the lifelines: no orphan stays."""
    code = (
        "import sys, signal\nfrom pathlib import Path\nfrom cybercorp.cli.launch.children import Child\n"
        f"child = Child('server', [sys.executable, '-c', {OBEDIENT!r}], Path({str(tmp_path / 'x.log')!r}))\n"
        "child.start()\nprint(child.pid, flush=True)\nsignal.sigwait([signal.SIGUSR2])\n"
    )
    supervisor = subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True)
    try:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        supervisor.stdout.close()
        wait_until(lambda: "ready" in (tmp_path / "x.log").read_text(), "the child is ready")
        assert is_running(pid)
    finally:
        supervisor.kill()
        supervisor.wait()
    wait_until(lambda: not is_running(pid), "the orphan ends", 5)


@given(st.integers(0, 1000), st.floats(0, 1))
def test_back_off_is_full_jitter(failures: int, draw: float) -> None:
    """Between nothing and a bound that doubles and ends at 30 s."""
    delay = backoff_s(failures, lambda: draw)
    assert 0 <= delay <= min(LONGEST_DELAY_S, 0.5 * 2 ** min(failures, 10))


def test_a_long_log_is_rotated_at_start(tmp_path: Path) -> None:
    """The old one stays as `.log.1`; the failure of an earlier run is not quoted again."""
    path = tmp_path / "server.log"
    path.write_text("error: old\n" + "x" * ROTATE_BYTES)
    log = ChildLog(path)
    os.close(log.open())
    assert path.read_text() == ""
    assert path.with_suffix(".log.1").stat().st_size > ROTATE_BYTES
    assert log.failure() == ("", "")


def test_a_log_is_bounded_while_its_child_runs(tmp_path: Path) -> None:
    """The newest part stays and the child goes on appending behind it."""
    path = tmp_path / "server.log"
    log = ChildLog(path)
    descriptor = log.open()
    os.write(descriptor, b"x" * (MOST_BYTES + 1))
    log.bound()
    os.write(descriptor, b"error: new\n")
    os.close(descriptor)
    assert path.stat().st_size == MOST_BYTES // 2 + len("error: new\n")
    assert path.read_bytes().endswith(b"xerror: new\n")


def test_a_port_that_was_given_and_is_taken_is_an_error_naming_the_option() -> None:
    """Nobody's port is changed behind his back."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"Port {port} .* --port"):
            choose_port("127.0.0.1", port, given=True)
        assert port < choose_port("127.0.0.1", port, given=False) <= port + 50
    assert choose_port("127.0.0.1", port, given=True) == port
    assert choose_port("127.0.0.1", 0, given=True) > 0


def test_one_up_holds_the_data_folder(tmp_path: Path) -> None:
    """The second one knows that it is not alone; the lock ends with its holder."""
    with only_up(tmp_path) as first, only_up(tmp_path) as second:
        assert (first, second) == (True, False)
    with only_up(tmp_path) as third:
        assert third


def test_a_credential_of_a_server_that_is_gone_means_none_runs(tmp_path: Path) -> None:
    """A stale owner.json does not make `up` attach to nothing."""
    assert running_server(tmp_path) is None
    write_credential(tmp_path / OWNER_FILE, Credential(url="http://127.0.0.1:9", token="cco_x"))
    assert running_server(tmp_path) is None
