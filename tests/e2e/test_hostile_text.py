"""Foreign text is hostile: the real dashboard and command line in a real terminal, and no foreign control byte."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.rogue_agent import ATTACKS, RogueAgent
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


PASSWORD = "four unrelated words"
# What people and whoever asks can put into records: names, browsers, labels, reasons.
OF_PEOPLE = [
    ["audit", "-n", "200"],
    ["audit", "--refused"],
    ["users"],
    ["sessions", "--user", "mallet"],
    ["bindings"],
]


@pytest.fixture(scope="module")
def people(hostile: Stack) -> Stack:
    """Attacks in the names, browsers and reasons of people, where these are taken at all."""

    def ask(path: str, body: dict[str, str], agent: str = "x", **headers: str) -> int:
        sent = [(b"User-Agent", agent.encode("latin-1"))]
        sent += [(name.encode(), text.encode()) for name, text in headers.items()]
        return httpx.post(f"{hostile.url}/api/v1{path}", json=body, headers=sent, trust_env=False).status_code

    owner = {"Authorization": f"Bearer {hostile.token}"}
    assert ask("/users", {"name": "mallet", "password": PASSWORD, "role": "viewer"}, **owner) == 201
    for attack in ATTACKS:
        ask("/login", {"name": attack, "password": "wrong"})
        ask("/users", {"name": attack}, **owner)
        ask("/bindings", {"user": "mallet", "role": "viewer", "reason": attack}, **owner)
    for agent in ("=cmd|'/c calc'!A1", "+1", "@x", "\x9b31mPWN", "\xad\x85PWN"):
        login = {"name": "mallet", "password": PASSWORD}
        assert ask("/login", login, agent) == 200
    return hostile


@pytest.mark.slow
@pytest.mark.parametrize("command", [*COMMANDS, *OF_PEOPLE], ids=" ".join)
def test_no_cell_of_any_table_runs_in_a_spreadsheet(people: Stack, command: list[str]) -> None:
    """CSV of every command that shows what others have written; and no control byte in it."""
    csv.field_size_limit(1 << 24)  # a command line may have a megabyte
    told = people.run(*command, "-o", "csv").stdout
    assert shapes(told.encode()) == set()
    rows = list(csv.reader(io.StringIO(told)))
    assert len(rows) > 1
    for cell in (cell for row in rows for cell in row):
        assert not is_formula(cell), cell


@pytest.mark.slow
@pytest.mark.parametrize("command", OF_PEOPLE, ids=" ".join)
def test_what_people_wrote_is_shown_spelled_out(people: Stack, command: list[str]) -> None:
    """On a terminal and on a pipe."""
    with Terminal([*COMMAND, *command], people.environment, columns=200) as terminal:
        terminal.process.wait(30)
        terminal.settle()
        assert terminal.process.returncode == 0, terminal.text
        assert foreign_shapes(terminal.sent, b"\x1b[?25l\x1b[?25h") == set()
    assert shapes(people.run(*command).stdout.encode()) == set()


def visit_audit(stack: Stack) -> bytes:
    """Everything the dashboard sends while a person looks through the audit trail."""
    with Terminal([*COMMAND, "tui"], stack.environment, columns=160, lines=50) as terminal:
        terminal.wait_for(lambda text: "%" in text)
        terminal.press("a")
        terminal.settle(1.0)
        terminal.press(*["\x1b[B"] * 12, "\r")
        terminal.settle(0.5)
        terminal.press("\x1b", "\x1b", "q")
        terminal.settle(0.5)
        return terminal.sent


@pytest.mark.slow
def test_the_dashboard_shows_what_people_wrote_spelled_out(people: Stack, stack: Stack) -> None:
    """The audit trail's screen, full of hostile names."""
    baseline, attacked = visit_audit(stack), visit_audit(people)
    assert b"PWN" in attacked, "the hostile texts were never shown, so nothing was tested"
    assert foreign_shapes(attacked, baseline) == set()


@pytest.mark.slow
def test_an_export_runs_in_no_spreadsheet(people: Stack, tmp_path: Path) -> None:
    """The server's own CSV, and the file that the command line makes of it."""
    path = tmp_path / "all.csv"
    people.run("metrics", "export", str(path), "--since", "5m")
    owner = {"Authorization": f"Bearer {people.token}"}
    asked = {"metric": "*", "format": "csv", "start_ms": str(int(time.time() * 1000) - 300_000)}
    answer = httpx.get(f"{people.url}/api/v1/metrics/export", params=asked, headers=owner, trust_env=False)
    for text in (path.read_text("utf-8"), answer.text):
        rows = list(csv.reader(io.StringIO(text)))
        assert any("calc" in cell for row in rows for cell in row)
        assert not [cell for row in rows for cell in row if is_formula(cell)]
        assert shapes(text.encode()) == set()


def is_formula(cell: str) -> bool:
    """Whether a spreadsheet would run it; numbers are no formulas."""
    try:
        float(cell)
    except ValueError:
        return cell.lstrip().startswith(("=", "+", "-", "@", "\t", "\r", "|", "%"))
    return False


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
