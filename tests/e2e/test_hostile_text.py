"""Foreign text is hostile: the real dashboard and command line in a real terminal, and no foreign control byte."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.e2e.rogue_agent import RogueAgent
from tests.e2e.terminal import Terminal
from tests.e2e.terminal_bytes import foreign_shapes, shapes
from tests.stack import COMMAND, Stack, running_stack, wait_until

HOSTILE_PROCESS = """
import ctypes, sys, time
ctypes.CDLL(None).prctl(15, b"\\x1b]0;PWNCOMM\\x07", 0, 0, 0)
print("ready", flush=True)
sys.stdin.read()
"""
# One argument may have 128 KiB and a command line some MiB: eight of them make a command line of about a megabyte.
MEGABYTE = ["\x1b]52;c;UFdORUQ=\x07" * 7000] * 8


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with a rogue agent that speaks every second and a hostile process on this machine."""
    with running_stack(tmp_path_factory.mktemp("hostile")) as stack:
        process = subprocess.Popen(
            [sys.executable, "-c", HOSTILE_PROCESS, *MEGABYTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        stop = threading.Event()

        def speak() -> None:
            with RogueAgent(stack.url, stack.token) as rogue:
                while not stop.is_set():
                    rogue.speak()
                    stop.wait(1)

        speaker = threading.Thread(target=speak)
        speaker.start()
        try:
            wait_until(lambda: "evil-1" in stack.run("hosts").stdout, "the rogue host is listed")
            yield stack
        finally:
            stop.set()
            speaker.join(10)
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()


def visit(stack: Stack, *, host: str) -> bytes:
    """Everything the dashboard sends while a person walks through its screens."""
    with Terminal([*COMMAND, "tui"], stack.environment, columns=160, lines=50) as terminal:
        terminal.wait_for(lambda text: "%" in text)
        terminal.press(":", host, "\r")
        terminal.settle(1.0)
        terminal.press("\x1b[B", "\x1b[B", "\r")
        terminal.settle(0.5)
        terminal.press("\x1b", "?", "\x1b", "\x1b", "e")
        terminal.settle(1.0)
        terminal.press("\x1b[B", "\r", "\x1b", "\x1b", "q")
        terminal.settle(0.5)
        return terminal.sent


@pytest.mark.slow
def test_the_dashboard_sends_no_foreign_control_byte(hostile: Stack, stack: Stack) -> None:
    """Fleet, host, process details, help, palette and events of a hostile host add no control sequence of any kind."""
    baseline = visit(stack, host="host")
    attacked = visit(hostile, host="evil-1")
    assert b"PWN" in attacked, "the hostile texts were never shown, so nothing was tested"
    assert foreign_shapes(attacked, baseline) == set()


COMMANDS = [
    ["hosts"],
    ["hosts", "show", "evil-1"],
    ["ps", "evil-1"],
    ["ps", "evil-1", "--at", "now"],
    ["events"],
    ["metrics", "list"],
    ["metrics", "query", "net", "--since", "1m"],
    ["metrics", "query", "system.filesystem.utilization", "--since", "1m"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_command_line_in_a_terminal_sends_no_foreign_control_byte(hostile: Stack, command: list[str]) -> None:
    """Tables and plots of hostile hosts on a terminal hold colours at most."""
    with Terminal([*COMMAND, *command], hostile.environment, columns=200) as terminal:
        terminal.process.wait(30)
        terminal.settle()
        assert terminal.process.returncode == 0, terminal.text
        assert foreign_shapes(terminal.sent, b"\x1b[?25l\x1b[?25h") == set()


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "csv", "yaml"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_command_line_on_a_pipe_sends_no_control_byte_at_all(hostile: Stack, command: list[str], form: str) -> None:
    """Every output format escapes or spells out what a terminal could obey: a person may `cat` the file later."""
    answer = hostile.run(*command, "-o", form)
    assert shapes(answer.stdout.encode()) == set()
    assert answer.stdout


def test_the_hostile_process_of_this_machine_is_listed_short(hostile: Stack) -> None:
    """A real process with escapes in its name and a megabyte of command line is shown, spelled out and cut."""
    hosts = hostile.get("/api/v1/hosts")
    assert isinstance(hosts, list)
    name = next(host["name"] for host in hosts if host["name"] != "evil-1")
    shown = hostile.run("ps", name).stdout
    assert "PWNCOMM" in shown
    assert "UFdORUQ" in shown
    assert max(map(len, shown.splitlines())) < 5000


def test_a_megabyte_host_name_is_refused(stack: Stack) -> None:
    """A host cannot join under an endless or invisible name; the answer says what a name is."""
    for name in ("h" * 1_000_000, "a\x1b[31mb", "a\u202eb"):
        with pytest.raises(Exception, match=r"400|413"):
            RogueAgent(stack.url, stack.token, name=name)
