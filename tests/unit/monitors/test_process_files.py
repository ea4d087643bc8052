"""/proc/PID texts, the hostile ones included: a name may hold anything."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cybercorp.monitors.process_files import (
    parse_process_io,
    parse_process_stat,
    process_command,
    process_name,
)

REST = b" S 1 100 100 0 -1 4194560 6000 0 3 0 250 50 0 0 20 0 4 0 1234567 3133440 382 18446744073709551615 1 1 0 0 0\n"


@pytest.mark.parametrize(
    "name",
    [
        b"cat",
        b"a b",
        b"a) S 1 2",
        b"((",
        b")",
        b"",
        b"new\nline",
        b"tab\t",
        b"\x1b[31m",
        b"\xff\xfe",
        b"(sd-pam)",
        b") R 9 9 9",
    ],
)
def test_a_name_may_hold_anything(name: bytes) -> None:
    """Parentheses, blanks, newlines, escapes: the name ends at the last parenthesis of the line."""
    stat = parse_process_stat(b"42 (" + name + b")" + REST)
    assert stat.name == name
    assert (stat.state, stat.parent, stat.cpu_ticks, stat.threads) == ("S", 1, 300, 4)
    assert (stat.start_ticks, stat.rss_pages, stat.kernel) == (1234567, 382, False)


def test_kernel_threads_are_recognised() -> None:
    """By their flag, not by their name, which any program may take."""
    assert parse_process_stat(b"2 (kthreadd)" + REST.replace(b"4194560", b"2129984")).kernel


@pytest.mark.parametrize(
    "text", [b"", b"1", b"1 (a", b"1 a)", b"1 (a) S 1", b")(", b"1 (a)" + REST.replace(b"250", b"x")]
)
def test_what_is_no_stat_line_is_an_error(text: bytes) -> None:
    """A process that ends while it is read may leave an empty text."""
    with pytest.raises(ValueError):  # noqa: PT011 - which message does not matter
        parse_process_stat(text)


@given(st.binary(max_size=200))
def test_no_text_raises_anything_else(text: bytes) -> None:
    """The scanner passes over ValueError only."""
    with contextlib.suppress(ValueError):
        parse_process_stat(text)
    parse_process_io(text)


def test_storage_io() -> None:
    """Bytes of storage, not of read() and write(), and not the cancelled ones."""
    text = b"rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n"
    assert parse_process_io(text) == (5, 6)
    assert parse_process_io(b"rchar: 1\n") is None
    assert parse_process_io(b"rchar: 1\nread_bytes: x\nwrite_bytes: 6\n") is None


def test_commands_are_joined_and_cut() -> None:
    """Arguments are separated by blanks; a megabyte of them costs a kilobyte; nothing is made safe here."""
    assert process_command(b"/bin/sh\0-c\0echo  hi\0") == "/bin/sh -c echo  hi"
    assert process_command(b"postgres: writer   \0\0\0\0") == "postgres: writer"
    assert len(process_command(b"x" * 1_000_000)) == 1024
    assert len(process_command("ü€😀".encode() * 1000)) == 1024
    assert process_command(b"\x1b]0;x\x07\xff") == "\x1b]0;x\x07\ufffd"
    assert process_command(b"") == ""


def test_names_are_cut_and_decoded() -> None:
    """Bytes that are no UTF-8 are replaced."""
    assert process_name(b"kworker/0:1") == "kworker/0:1"
    assert process_name(b"a\xffb") == "a\ufffdb"
    assert len(process_name(b"x" * 1000)) == 256
