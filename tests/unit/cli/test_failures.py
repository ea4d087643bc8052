"""Errors become one or two lines on stderr and the promised exit codes."""

from __future__ import annotations

import pytest
from typer.exceptions import Abort

from cybercorp.cli.failures import exit_code, report
from cybercorp.core.errors import (
    ConflictError,
    CyberCorpError,
    ForbiddenError,
    InternalError,
    LimitExceededError,
    MalformedMessageError,
    NotFoundError,
    PortInUseError,
    SettingsError,
    StorageCorruptError,
    TimeExpressionError,
    UnauthenticatedError,
    UnreachableError,
    VersionMismatchError,
)

CODES = [
    (NotFoundError, 1),
    (ConflictError, 1),
    (PortInUseError, 1),
    (StorageCorruptError, 1),
    (VersionMismatchError, 1),
    (MalformedMessageError, 1),
    (TimeExpressionError, 2),
    (SettingsError, 2),
    (LimitExceededError, 2),
    (UnauthenticatedError, 3),
    (ForbiddenError, 3),
    (UnreachableError, 4),
    (InternalError, 70),
]


@pytest.mark.parametrize(("kind", "code"), CODES)
def test_each_class_of_error_has_its_exit_code(kind: type[CyberCorpError], code: int) -> None:
    """0 ok, 1 failed, 2 usage, 3 access, 4 unreachable, 70 internal."""
    assert exit_code(kind("x")) == code


def test_an_error_is_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """What happened, and what to do next; nothing on stdout, no traceback."""
    assert report(NotFoundError("No host 'x'.", hint="List them."), debug=False) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "error: No host 'x'.\nhint: List them.\n"


def test_an_error_without_a_hint_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No empty line."""
    report(NotFoundError("Gone."), debug=False)
    assert capsys.readouterr().err == "error: Gone.\n"


def test_a_bug_asks_for_debug_and_shows_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 70; a person is told how to see more."""
    assert report(ZeroDivisionError("division by zero"), debug=False) == 70
    shown = capsys.readouterr().err
    assert "--debug" in shown
    assert "Traceback" not in shown


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """With --debug the traceback comes first, then the words."""
    assert report(ZeroDivisionError("division by zero"), debug=True) == 70
    assert "ZeroDivisionError: division by zero\nerror: " in capsys.readouterr().err


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), Abort()])
def test_ctrl_c_is_silent(interruption: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    """130, and not a word."""
    assert report(interruption, debug=False) == 130
    assert capsys.readouterr().err == ""


def test_the_words_of_a_server_are_shown_safely(capsys: pytest.CaptureFixture[str]) -> None:
    """A hostile server's message holds no escape when it reaches the terminal, and has an end."""
    report(NotFoundError("\x1b]0;PWN\x07" + "x" * 100_000, hint="\u202e"), debug=False)
    shown = capsys.readouterr().err
    assert all(line.isprintable() for line in shown.splitlines())
    assert len(shown) < 2000
