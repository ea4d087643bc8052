"""Styled text without a terminal: runs of (text, tone), cut and padded by cells. Widgets turn tones into colours.

Panels are computed as lines, so that what a screen says can be tested without Textual, and a widget redraws only the
lines that changed. Text is never parsed as markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

ELLIPSIS = "…"


class Tone(IntEnum):
    """What a run of text means; a theme gives it a colour. `HEAT_0` (calm) to `HEAT_9` (hot) colour quantities."""

    TEXT = 0
    MUTED = 1
    TITLE = 2
    VALUE = 3
    ACCENT = 4
    GOOD = 5
    WARNING = 6
    ERROR = 7
    BORDER = 8
    FOCUS = 9
    CACHE = 10
    CURSOR = 11
    SECOND = 12
    HEAT_0 = 20
    HEAT_1 = 21
    HEAT_2 = 22
    HEAT_3 = 23
    HEAT_4 = 24
    HEAT_5 = 25
    HEAT_6 = 26
    HEAT_7 = 27
    HEAT_8 = 28
    HEAT_9 = 29


_HEATS = tuple(Tone(Tone.HEAT_0 + step) for step in range(10))


class Run(NamedTuple):
    """A piece of a line in one tone."""

    text: str
    tone: Tone = Tone.TEXT


Line = list[Run]


def heat(ratio: float | None) -> Tone:
    """The tone of a quantity between 0 (calm) and 1 (hot); muted when unknown."""
    if ratio is None or not math.isfinite(ratio):
        return Tone.MUTED
    return _HEATS[min(max(int(ratio * 10), 0), 9)]


def width_of(text: str) -> int:
    """Terminal cells that `text` fills."""
    return len(text) if text.isascii() else cell_len(text)


def cut(text: str, width: int, *, ascii: bool = False) -> str:
    """`text` in at most `width` cells; what is cut ends with `…` (`~` in ASCII)."""
    if width_of(text) <= width:
        return text
    if width <= 0:
        return ""
    return set_cell_size(text, width - 1) + ("~" if ascii else ELLIPSIS)


def left(text: str, width: int, *, ascii: bool = False) -> str:
    """`text` in exactly `width` cells, left-aligned."""
    short = cut(text, width, ascii=ascii)
    return short + " " * (width - width_of(short))


def right(text: str, width: int, *, ascii: bool = False) -> str:
    """`text` in exactly `width` cells, right-aligned."""
    short = cut(text, width, ascii=ascii)
    return " " * (width - width_of(short)) + short


def line_width(line: Iterable[Run]) -> int:
    """Cells that a line fills."""
    return sum(width_of(one.text) for one in line)


def fit(line: Line, width: int, *, fill: Tone = Tone.TEXT, ascii: bool = False) -> Line:
    """`line` in exactly `width` cells: padded with blanks, or cut with an ellipsis."""
    missing = width - line_width(line)
    if missing == 0:
        return line
    if missing > 0:
        return [*line, Run(" " * missing, fill)]
    kept: Line = []
    room = width
    for position, one in enumerate(line):
        size = width_of(one.text)
        last = all(not later.text for later in line[position + 1 :])
        if size < room or (size == room and last):
            kept.append(one)
            room -= size
            continue
        short = cut(one.text + " " if size == room else one.text, room, ascii=ascii)
        kept.append(Run(short + " " * (room - width_of(short)), one.tone))
        break
    return kept


def spread(start: Line, end: Line, width: int, *, fill: Tone = Tone.TEXT, ascii: bool = False) -> Line:
    """`start` at the left and `end` at the right of `width` cells; `end` goes first when there is no room for both."""
    room = width - line_width(end)
    if room <= 0:
        return fit(start, width, fill=fill, ascii=ascii)
    return [*fit(start, room, fill=fill, ascii=ascii), *end]


def text_of(line: Iterable[Run]) -> str:
    """The characters of a line without their tones."""
    return "".join(one.text for one in line)
