"""The server's log."""

import io
import logging
import sys

from cybercorp.server.log import MAX_LINE, LineFormatter


def logger(stream: io.StringIO) -> logging.Logger:
    """A logger of its own that writes to `stream` as the server does."""
    made = logging.Logger("cybercorp.server")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    made.addHandler(handler)
    return made


def test_a_traceback_is_one_line() -> None:
    """What failed, where and why, on one line: a log that is read line by line loses nothing."""
    stream = io.StringIO()
    try:
        raise KeyError("missing")
    except KeyError:
        logger(stream).error("a request failed", exc_info=sys.exc_info())
    (line,) = stream.getvalue().splitlines()
    assert "ERROR cybercorp.server: a request failed" in line
    assert "KeyError: 'missing'" in line
    assert "test_a_traceback_is_one_line" in line


def test_nobody_forges_a_line() -> None:
    """Line ends, escapes and endless texts of a host are spelled out and cut."""
    stream = io.StringIO()
    logger(stream).warning("host %s", "a\n2026-01-01 INFO cybercorp.server: all is well\x1b[2J" + "x" * 100_000)
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert "\x1b" not in written
    assert len(written) <= MAX_LINE + 1


def test_times_are_utc() -> None:
    """Whatever the machine's zone, logs of several machines are read as one."""
    record = logging.LogRecord("cybercorp.server", logging.INFO, "", 0, "ready", (), None)
    record.created, record.msecs = 1_790_000_000.25, 250
    assert LineFormatter().format(record) == "2026-09-21T14:13:20.250Z INFO cybercorp.server: ready"
