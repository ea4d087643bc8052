"""Every command of README and tutorial does what the page says, against a real running server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.terminal import Terminal
from tests.stack import COMMAND, Stack, running_stack, wait_until

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "docs/tutorial.md"]
# What these start is what the tests run in: the fixture, tests/e2e/test_first_minutes.py, or a terminal (below).
ELSEWHERE = ("python3 bootstrap.py", "cybercorp up", "cybercorp tui")


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in this language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def commands() -> list[str]:
    """Each command line of the pages' shell blocks, without its comment."""
    found = []
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.splitlines():
                command = re.sub(r"\s+#.*$", "", line).strip()
                if command and not command.startswith(ELSEWHERE) and command not in found:
                    found.append(command)
    return found


@pytest.fixture(scope="module")
def settled(stack: Stack) -> Stack:
    """The shared stack, once it has recorded some seconds of processes and samples."""
    name = stack.run("hosts", "-o", "csv").stdout.splitlines()[1].split(",")[0]
    wait_until(lambda: stack.run("ps", name, "--at", "2s ago", check=False).returncode == 0, "recorded processes", 40)
    return stack


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_pages_works(settled: Stack, command: str, tmp_path: Path) -> None:
    """It ends with 0 and prints something, exactly as it stands on the page."""
    launcher = tmp_path / "cybercorp"
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cybercorp "$@"\n')
    launcher.chmod(0o755)
    environment = {**settled.environment, "PATH": f"{tmp_path}:{settled.environment['PATH']}"}
    if "20s ago" in command:
        command = command.replace("20s ago", "2s ago")  # the stack of the tests is younger than a reader's
    answer = subprocess.run(
        ["sh", "-c", command], env=environment, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )
    assert (answer.returncode, answer.stderr.strip()) == (0, "") or "doctor" in command or "enroll" in command, answer
    assert answer.stdout.strip()


def test_the_pages_have_commands_to_execute() -> None:
    """The extraction finds them: an empty list would test nothing."""
    assert len(commands()) > 12
    assert shutil.which("sh")


def test_the_dashboard_of_the_pages_opens(settled: Stack) -> None:
    """`cybercorp tui` shows live numbers in a terminal and leaves with `q`."""
    with Terminal([*COMMAND, "tui"], settled.environment) as terminal:
        terminal.wait_for("LIVE")
        terminal.wait_for(lambda text: re.search(r"\d+(\.\d+)? ?%", text) is not None)
        terminal.press("q")
        assert terminal.process.wait(10) == 0


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_the_pages_runs(settled: Stack, page: str, tmp_path: Path) -> None:
    """Each Python block runs as it stands."""
    for block in blocks(page, "python"):
        answer = subprocess.run(
            [sys.executable, "-c", block],
            env=settled.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=tmp_path,
        )
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout.strip()


@pytest.mark.slow
def test_a_second_host_joins_with_the_line_that_enroll_prints(tmp_path: Path) -> None:
    """`cybercorp enroll` prints a line that works when it is pasted, and the host appears."""
    with running_stack(tmp_path, "--no-agent", numbers=False) as stack:
        printed = stack.run("enroll").stdout
        line = re.fullmatch(r"(CYBERCORP_TOKEN)=(\S+) cybercorp (agent join \S+)", printed.strip())
        assert line, printed
        joined = subprocess.Popen(
            [*COMMAND, *line[3].split(), "--name", "web-1", "--state-dir", str(tmp_path / "web-1")],
            env={**stack.environment, line[1]: line[2]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_until(lambda: "web-1" in stack.run("hosts").stdout, "web-1 joins")
            wait_until(lambda: re.search(r"web-1.*\d%", stack.run("hosts").stdout), "web-1 sends")
        finally:
            joined.terminate()
            assert joined.wait(10) == 0
            assert joined.stderr is not None
            joined.stderr.close()
