"""The formats data is printed in, and what is known about the stream it goes to."""

from __future__ import annotations

import os
import shutil
import sys
from enum import StrEnum

MAX_WIDTH = 500


class OutputFormat(StrEnum):
    """`table` is for people (on a pipe: plain, whole, without colours), the others are for programs."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    YAML = "yaml"


def on_terminal() -> bool:
    """True where stdout is a terminal that a person reads."""
    return sys.stdout.isatty()


def terminal_size() -> tuple[int, int]:
    """Columns and lines of the terminal; `COLUMNS` and `LINES` win."""
    size = shutil.get_terminal_size((100, 30))
    return min(size.columns, MAX_WIDTH), size.lines


def shows_unicode() -> bool:
    """False where stdout's encoding has no braille, arrows and symbols."""
    if os.environ.get("TERM") == "linux" and on_terminal():
        return False  # the kernel's console has 512 glyphs, braille is not among them
    try:
        "⣿●…".encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
