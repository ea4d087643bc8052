"""Numbers as glyphs: sparklines, meters, braille areas. Pure functions of their arguments, with an ASCII fallback.

Unknown values (None, NaN, infinities) are drawn as a dot, never as nothing or zero. Every result has exactly the width
that was asked for, so that a column never moves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

BLOCKS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉█"
UNKNOWN_GLYPH = "·"
_ASCII_LEVELS = "_.:-=+*#"
_ASCII_UNKNOWN = "?"
_ASCII_FULL = "#"
_LEFT_DOTS = (0x40, 0x04, 0x02, 0x01)  # braille dots 7 3 2 1: the left column from the bottom up
_RIGHT_DOTS = (0x80, 0x20, 0x10, 0x08)  # braille dots 8 6 5 4
_BRAILLE = 0x2800
_ASCII_AREA = " ._:#"


def is_known(value: float | None) -> bool:
    """True for a finite number."""
    return value is not None and math.isfinite(value)


def sparkline(
    values: Sequence[float | None], width: int, *, low: float = 0.0, high: float | None = None, ascii: bool = False
) -> str:
    """`values`, oldest first, as one line of `width` block glyphs; the newest stands at the right edge.

    More values than cells are drawn as the largest of each cell; fewer leave blanks on the left. `high` defaults to
    the largest value shown, so give it where lines are compared with each other.
    """
    if width <= 0:
        return ""
    cells = _largest_per_cell(values, width)
    top = high if high is not None else max((one for one in cells if one is not None), default=1.0)
    span = top - low
    glyphs = _ASCII_LEVELS if ascii else BLOCKS
    unknown = _ASCII_UNKNOWN if ascii else UNKNOWN_GLYPH
    drawn = [
        unknown if one is None else glyphs[_level((one - low) / span if span > 0 else 0.0, len(glyphs))]
        for one in cells
    ]
    return " " * (width - len(drawn)) + "".join(drawn)


def meter(ratio: float | None, width: int, *, ascii: bool = False) -> str:
    """A horizontal bar of `width` cells in eighths of a cell.

    More than nothing shows at least one eighth and less than everything never looks full; an unknown ratio is dots.
    """
    if width <= 0:
        return ""
    if ratio is None or not math.isfinite(ratio):
        return (_ASCII_UNKNOWN if ascii else UNKNOWN_GLYPH) * width
    steps = 1 if ascii else 8
    whole = width * steps
    filled = round(min(max(ratio, 0.0), 1.0) * whole)
    if ratio > 0:
        filled = max(filled, 1)
    if ratio < 1:
        filled = min(filled, whole - 1) if whole > 1 else filled
    if ascii:
        return _ASCII_FULL * filled + " " * (width - filled)
    full, rest = divmod(filled, 8)
    return (BLOCKS[-1] * full + (EIGHTHS[rest] if rest else "")).ljust(width)


def _level(ratio: float, count: int) -> int:
    return min(max(math.floor(ratio * count), 0), count - 1)


def _largest_per_cell(values: Sequence[float | None], width: int) -> list[float | None]:
    count = len(values)
    clean = [one if one is not None and math.isfinite(one) else None for one in values]
    if count <= width:
        return clean
    cells: list[float | None] = []
    for cell in range(width):
        known = [one for one in clean[cell * count // width : (cell + 1) * count // width] if one is not None]
        cells.append(max(known) if known else None)
    return cells


class Zone(IntEnum):
    """What a cell of an area shows, so that a widget can colour it."""

    BLANK = 0
    AREA = 1  # below the average
    BAND = 2  # between the average and the largest value
    UNKNOWN = 3


class Column(NamedTuple):
    """The values of one chart column's time: smallest, average and largest."""

    low: float
    mid: float
    high: float


class Cell(NamedTuple):
    glyph: str
    zone: Zone


def area(
    columns: Sequence[Column | None],
    width: int,
    height: int,
    *,
    low: float = 0.0,
    high: float = 1.0,
    ascii: bool = False,
) -> list[list[Cell]]:
    """`height` rows (top first) of `width` cells: solid up to the average, a sparse band up to the largest value.

    Braille has two columns a cell, so `2 * width` columns fill the chart (ASCII: `width`); fewer stand at the right.
    """
    per_cell = 1 if ascii else 2
    wanted = width * per_cell
    shown: list[Column | bool | None] = [False] * max(wanted - len(columns), 0)
    shown.extend(columns[max(len(columns) - wanted, 0) :])
    steps = height * (len(_ASCII_AREA) - 1 if ascii else 4)
    heights = [_dots(one, low, high, steps) for one in shown]
    if ascii:
        return [_ascii_row(heights, height - 1 - row) for row in range(height)]
    return [_braille_row(heights, height - 1 - row) for row in range(height)]


_Dots = tuple[int, int] | bool | None  # (average, largest) in dots; None unknown; False before the first column


def _dots(column: Column | bool | None, low: float, high: float, steps: int) -> _Dots:
    if column is None or isinstance(column, bool):
        return column
    span = high - low if high > low else 1.0
    mid, top = ((min(max((one - low) / span, 0.0), 1.0)) * steps for one in (column.mid, column.high))
    # One dot is the floor line: a known zero is drawn, an unknown is not.
    solid = max(round(mid), 1)
    return solid, max(round(top), solid)


def _braille_row(heights: Sequence[_Dots], row_from_bottom: int) -> list[Cell]:
    base = row_from_bottom * 4
    cells = []
    for left in range(0, len(heights), 2):
        bits, solid, band, unknown = 0, 0, 0, 0
        for side, dots in ((0, _LEFT_DOTS), (1, _RIGHT_DOTS)):
            one = heights[left + side]
            if one is None:
                unknown += 1
                continue
            if isinstance(one, bool):
                continue
            mid, top = one
            for step in range(4):
                if base + step < mid:
                    bits |= dots[step]
                    solid += 1
                elif base + step < top:
                    band += 1
                    # Every other dot: a band is lighter than the area also without colours.
                    if (base + step + side) % 2 == 0 or base + step == top - 1:
                        bits |= dots[step]
        if bits:
            cells.append(Cell(chr(_BRAILLE + bits), Zone.AREA if solid >= band else Zone.BAND))
        elif unknown and row_from_bottom == 0:
            cells.append(Cell(UNKNOWN_GLYPH, Zone.UNKNOWN))
        else:
            cells.append(Cell(" ", Zone.BLANK))
    return cells


def _ascii_row(heights: Sequence[_Dots], row_from_bottom: int) -> list[Cell]:
    steps = len(_ASCII_AREA) - 1
    base = row_from_bottom * steps
    cells = []
    for one in heights:
        if one is None and row_from_bottom == 0:
            cells.append(Cell(_ASCII_UNKNOWN, Zone.UNKNOWN))
        elif one is None or isinstance(one, bool):
            cells.append(Cell(" ", Zone.BLANK))
        elif one[0] > base:
            cells.append(Cell(_ASCII_AREA[min(one[0] - base, steps)], Zone.AREA))
        elif one[1] > base:
            cells.append(Cell("'", Zone.BAND))
        else:
            cells.append(Cell(" ", Zone.BLANK))
    return cells
