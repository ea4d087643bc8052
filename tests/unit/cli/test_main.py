"""The top level: help, unknown commands, usage errors, and one word for what people do most."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from cybercorp.cli.main import CyberCorpGroup, app, run
from cybercorp.core.version import VERSION


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`cybercorp`, `cybercorp --help` and `-h` print the same page with every command."""
    pages = []
    for arguments in ([], ["--help"], ["-h"]):
        assert run(arguments) == 0
        pages.append(capsys.readouterr().out.strip())
    assert pages[0] == pages[1] == pages[2]
    for name in CyberCorpGroup.entries:
        assert f"  {name} " in pages[0]


@pytest.mark.parametrize("name", list(CyberCorpGroup.entries))
def test_the_summary_of_a_command_is_its_own(name: str) -> None:
    """The table of the top level, which spares importing the command, says what the command says."""
    command = get_command(app)
    assert isinstance(command, CyberCorpGroup)
    made = command.make_context("cybercorp", [], resilient_parsing=True)
    found = command.get_command(made, name)
    assert found is not None
    assert found.help
    entry = CyberCorpGroup.entries[name]
    assert found.help.startswith(entry.summary.rstrip(".")) or name in (
        "completion",
        "doctor",
        "enroll",
        "events",
        "ps",
        "tui",
    )


@pytest.mark.parametrize("name", list(CyberCorpGroup.entries))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No command fails to import, none is without words."""
    assert run([name, "--help"]) == 0
    page = capsys.readouterr().out
    assert page.startswith(f"Usage: cybercorp {name}")
    assert max(map(len, page.splitlines())) <= 110


def test_an_unknown_command_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, the nearest name, where to read on."""
    assert run(["host"]) == 2
    shown = capsys.readouterr().err
    assert "Did you mean 'hosts'?" in shown
    assert len(shown.splitlines()) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["hosts", "-o", "xml"],
        ["hosts", "show"],
        ["hosts", "--sort", "beauty"],
        ["hosts", "list", "--limit", "0"],
        ["metrics", "query"],
        ["metrics", "query", "cpu", "--since", "tomorrowish"],
        ["metrics", "query", "cpu", "--since", "2999-01-01"],
        ["metrics", "query", "cpu", "--agg", "median-ish"],
        ["metrics", "query", "cpu", "--step", "soon"],
        ["metrics", "query", "cpu", "--since", "1h", "--until", "2h"],
        ["ps", "x", "--at", "2999-01-01"],
        ["events", "--kind", "nonsense"],
        ["events", "--follow", "-o", "json"],
        ["agent", "join", "http://127.0.0.1:9"],
        ["agent", "join", "http://127.0.0.1:9", "--token", "cce_x"],
        ["hosts", "label", "web-1", "env"],
        ["hosts", "a", "--all"],
        ["up", "--port", "99999"],
        ["up", "--url", "http://127.0.0.1:9"],
        ["completion", "tcsh"],
        ["--nonsense"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_a_usage_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, one line that says what, one that says what to do, no traceback, nothing on stdout."""
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert 1 <= len(shown.err.strip().splitlines()) <= 2
    assert shown.err.startswith("error: ")


@pytest.mark.parametrize(
    "arguments",
    [["hosts"], ["metrics"], ["metrics", "query", "cpu"], ["ps", "x"], ["events"], ["enroll"], ["server", "info"]],
    ids=" ".join,
)
def test_no_server_is_exit_code_4(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Where no server is known or none answers, every command says so and how to start one."""
    for more in ([], ["--url", "http://127.0.0.1:9"]):
        assert run([*arguments, *more]) == 4
        shown = capsys.readouterr()
        assert shown.out == ""
        assert "cybercorp up" in shown.err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """With and without other options, and as a module."""
    assert run(["--version"]) == 0
    assert run(["--no-color", "--version"]) == 0
    assert capsys.readouterr().out == f"cybercorp {VERSION}\n" * 2
    answer = subprocess.run(
        [sys.executable, "-m", "cybercorp", "--version"], capture_output=True, text=True, check=True
    )
    assert answer.stdout == f"cybercorp {VERSION}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The script calls cybercorp itself for its words."""
    assert run(["completion", shell]) == 0
    assert "_CYBERCORP_COMPLETE=complete_" + shell in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [("cybercorp ho", "hosts"), ("cybercorp hosts sh", "show"), ("cybercorp hosts list --so", "--sort")],
)
def test_bash_completes_commands_verbs_and_options(words: str, expected: str, tmp_path: Path) -> None:
    """What bash would call answers with the right word."""
    count = len(words.split()) - 1
    environment = {
        "COMP_WORDS": words,
        "COMP_CWORD": str(count),
        "_CYBERCORP_COMPLETE": "complete_bash",
        "HOME": str(tmp_path),
    }
    answer = subprocess.run(
        [sys.executable, "-m", "cybercorp"], env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert expected in answer.stdout.split(), answer


def test_a_reader_that_went_away_is_silent() -> None:
    """`cybercorp … | head` ends with 141 and says nothing."""
    code = (
        "import sys, os\nfrom cybercorp.cli import main\nfrom cybercorp.cli.output.records import write_ndjson\n"
        "def flood(*a, **k):\n"
        "    write_ndjson(sys.stdout, ({'a': 'x' * 1000} for _ in range(10000)))\n"
        "main.get_command = lambda app: type('C', (), {'main': staticmethod(flood)})\n"
        "sys.exit(main.run(['hosts']))\n"
    )
    reader, writer = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    os.close(reader)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (141, b"")
