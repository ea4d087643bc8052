"""Options of every command: anywhere on the line, and no token among the arguments."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from cybercorp.cli.options import Options, hoist, read_token, wants_color
from cybercorp.core.errors import AccessError, InvalidInputError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["hosts", "--profile", "prod"], ["--profile", "prod", "hosts"]),
        (["hosts", "--url=http://x", "-o", "json"], ["--url=http://x", "hosts", "-o", "json"]),
        (["hosts", "list", "--debug", "--no-color"], ["--debug", "--no-color", "hosts", "list"]),
        (["--data-dir", "/x", "up"], ["--data-dir", "/x", "up"]),
        (["ps", "--", "--debug"], ["ps", "--", "--debug"]),
        (["hosts", "--profile"], ["--profile", "hosts"]),
        ([], []),
    ],
)
def test_common_options_move_to_the_front(given: list[str], expected: list[str]) -> None:
    """`cybercorp hosts --profile prod` and `cybercorp --profile prod hosts` are the same."""
    assert hoist(given) == expected


def test_a_token_comes_from_a_file(tmp_path: Path) -> None:
    """The whole content without blanks around it."""
    (tmp_path / "token").write_text("cco_x_y\n")
    assert read_token(tmp_path / "token") == "cco_x_y"


def test_a_token_comes_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--token-file -` suits a pipe from a password store."""
    monkeypatch.setattr("sys.stdin", io.StringIO("cco_x_y\n"))
    assert read_token(Path("-")) == "cco_x_y"


def test_a_token_file_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    """Absent, binary and empty files have their own words."""
    with pytest.raises(AccessError, match="No such file"):
        read_token(tmp_path / "absent")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AccessError, match="not text"):
        read_token(tmp_path / "binary")
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(InvalidInputError, match="empty"):
        read_token(tmp_path / "empty")


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_can_be_declined(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR, a dumb terminal and --no-color each are enough."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_color(Options())
    assert not wants_color(Options(no_color=True))
    monkeypatch.setenv(variable, value)
    assert not wants_color(Options())
