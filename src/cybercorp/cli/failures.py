"""The one place where an error becomes words on stderr and an exit code.

Exit codes: 0 ok, 1 the thing failed, 2 usage, 3 access, 4 cannot reach the server, 70 internal, 130 Ctrl-C,
141 the reader of the pipe went away.
"""

from __future__ import annotations

import os
import sys
import traceback

from typer.exceptions import Abort, TyperException

from cybercorp.core.errors import (
    AccessError,
    CyberCorpError,
    InternalError,
    InvalidInputError,
    MalformedMessageError,
    UnauthenticatedError,
    UnreachableError,
)
from cybercorp.security.display import safe_text

OK, FAILED, USAGE, ACCESS, UNREACHABLE, INTERNAL, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 4, 70, 130, 141
_MESSAGE_LIMIT = 600
_TOKEN_HINT = "Log in: cybercorp login. Or check CYBERCORP_TOKEN, --token-file or the profile."  # noqa: S105
_CODES: tuple[tuple[type[CyberCorpError], int], ...] = (
    (MalformedMessageError, FAILED),  # an unreadable answer is no fault of who asked
    (InvalidInputError, USAGE),
    (AccessError, ACCESS),
    (UnreachableError, UNREACHABLE),
    (InternalError, INTERNAL),
)


def exit_code(error: CyberCorpError) -> int:
    """The exit code of an error's class."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return FAILED


def report(error: BaseException, *, debug: bool) -> int:
    """Say what went wrong on stderr, one or two lines, and return the exit code. A traceback only with `debug`."""
    if isinstance(error, BrokenPipeError):
        _close_stdout()
        return BROKEN_PIPE
    if isinstance(error, KeyboardInterrupt | Abort):
        return INTERRUPTED
    if debug:
        for line in "".join(traceback.format_exception(error)).splitlines():
            sys.stderr.write(f"{safe_text(line, _MESSAGE_LIMIT)}\n")
    if isinstance(error, CyberCorpError):
        # The API's own hint is for programs that speak HTTP.
        api = isinstance(error, UnauthenticatedError) and "Bearer" in error.hint
        say_error(error.message, _TOKEN_HINT if api else error.hint)
        return exit_code(error)
    if isinstance(error, TyperException):
        return _report_usage(error)
    say_error(
        f"CyberCorp failed inside: {type(error).__name__}: {error}.",
        "" if debug else "This is a bug. Run again with --debug and report what it prints.",
    )
    return INTERNAL


def say_error(message: str, hint: str = "") -> None:
    """`error: …` and, on its own line, `hint: …`, both safe to show."""
    lines = [f"error: {safe_text(message, _MESSAGE_LIMIT)}\n"]
    if hint:
        lines.append(f"hint: {safe_text(hint, _MESSAGE_LIMIT)}\n")
    sys.stderr.write("".join(lines))
    sys.stderr.flush()


def _report_usage(error: TyperException) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    path = context.command_path if context is not None else "cybercorp"
    say_error(message if message.endswith((".", "?")) else f"{message}.", f"Try: {path} --help")
    return error.exit_code


def _close_stdout() -> None:
    # What is still buffered has no reader; the interpreter must not fail at flushing it on its way out.
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, sys.stdout.fileno())
    except (OSError, ValueError):
        return
    finally:
        os.close(devnull)
