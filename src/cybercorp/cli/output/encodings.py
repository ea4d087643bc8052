"""Streams that cannot show a character: a near one in ASCII where there is one, else its number."""

from __future__ import annotations

import codecs
import sys

_NEAR = str.maketrans(
    {
        "…": "~",
        "–": "-",
        "·": "-",
        "×": "x",
        "°": " ",
        "→": ">",
        "●": "*",
        "◌": "o",
        "✖": "x",
        "✔": "+",
        "▲": "!",
        "├": "|",
        "└": "`",
        "─": "-",
        "│": "|",
    }
)
_NAME = "cybercorp.near"


def prepare_streams() -> None:
    """Let stdout and stderr write every text: no name of a process may end the program."""
    codecs.register_error(_NAME, _replace)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=_NAME)


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_NEAR)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end
