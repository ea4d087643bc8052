"""The table on a pipe: aligned, no colours, `-` for unknown, so that `grep` and `awk` can rely on it.

Nothing is cut to a width; only a cell of more than 2,000 characters ends with `…` (csv and json have all of it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from cybercorp.core.units import UNKNOWN
from cybercorp.security.display import safe_text

_WIDEST = 60  # a megabyte in one cell must not pad a thousand others
_LONGEST = 2000
_GAP = "  "


def write_plain(stream: TextIO, headings: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    """Write headings and rows."""
    rows = [[_plain(cell) for cell in row] for row in cells]
    table = [list(headings), *rows]
    widths = [min(max((len(row[i]) for row in table), default=0), _WIDEST) for i in range(len(headings))]
    last = len(headings) - 1
    for row in table:
        aligned = [
            cell.rjust(widths[i]) if right[i] else cell if i == last else cell.ljust(widths[i])
            for i, cell in enumerate(row)
        ]
        stream.write(_GAP.join(aligned).rstrip() + "\n")


def write_plain_record(stream: TextIO, pairs: Sequence[tuple[str, str]]) -> None:
    """One thing: a line for each of its values."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, text in pairs:
        stream.write(f"{name.ljust(width)}{_GAP}{_plain(text)}".rstrip() + "\n")


def _plain(cell: str) -> str:
    return "-" if cell in ("", UNKNOWN) else safe_text(cell, _LONGEST)
