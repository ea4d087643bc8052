"""Where the panels of the host screen stand: rows by importance, pages where they do not fit, one panel enlarged.

A pure function of the size and of what there is, from 80×24 to whole walls.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

PANELS = ("cpu", "memory", "disks", "network", "filesystems", "load", "pressure", "sensors")
PROCESSES = "processes"
_MIN_PROCESSES = 8
_FEW_PROCESSES = 11  # lines of the process table when that keeps all panels on one page
_LOW_CHART = 8
_WIDE = 150
_MEDIUM = 104


class Box(NamedTuple):
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Plan:
    """`boxes` has a place for every panel that is shown on this `page` of `pages`."""

    boxes: Mapping[str, Box]
    page: int
    pages: int


class _Cell(NamedTuple):
    """One column of a row: panels above each other, and the column's share of the width."""

    names: tuple[str, ...]
    share: int


def plan(
    width: int,
    height: int,
    wants: Mapping[str, int],
    *,
    page: int = 0,
    enlarged: str | None = None,
    hidden: Collection[str] = (),
) -> Plan:
    """Place the panels. `wants` says how many lines a panel would fill inside; what is not in it does not exist.

    The pages are: rows of panels above the processes, as many as fit, then the rest, and last the processes alone.
    """
    present = [name for name in PANELS if name in wants and name not in hidden]
    if height <= 4 or width <= 10:
        return Plan({PROCESSES: Box(0, 0, width, height)}, 0, 1)
    if enlarged in present and enlarged is not None:
        upper = max(height * 3 // 5, height - max(_MIN_PROCESSES, height // 3))
        return Plan({enlarged: Box(0, 0, width, upper), PROCESSES: Box(0, upper, width, height - upper)}, 0, 1)
    rows = _rows(width, present)
    heights = [_height(row, wants, height) for row in rows]
    lower = max(_MIN_PROCESSES, height // 2 if height < 30 else min(height * 2 // 5, 16))
    excess = sum(heights) + lower - height
    if heights and 0 < excess <= (lower - _FEW_PROCESSES) + (heights[0] - _LOW_CHART):
        # A little less chart and fewer processes keep everything on one page.
        shrunk = min(excess, max(lower - _FEW_PROCESSES, 0))
        lower -= shrunk
        heights[0] -= excess - shrunk
    pages = _pages(heights, max(height - lower, min(heights, default=0)))
    count = len(pages) + 1
    page %= count
    if page == count - 1:
        return Plan({PROCESSES: Box(0, 0, width, height)}, page, count)
    chosen = pages[page]
    spare = height - lower - sum(heights[row] for row in chosen)
    boxes: dict[str, Box] = {}
    y = 0
    for row in chosen:
        size = heights[row]
        if 0 in chosen and row == 0 and spare > 0:
            grown = min(spare // 2, 8)
            size += grown
        boxes.update(_place(rows[row], width, y, size))
        y += size
    boxes[PROCESSES] = Box(0, y, width, height - y)
    return Plan(boxes, page, count)


def _rows(width: int, present: Collection[str]) -> list[list[_Cell]]:
    if width >= _WIDE:
        drawn = [
            [_Cell(("cpu",), 50), _Cell(("memory",), 27), _Cell(("load", "pressure"), 23)],
            [
                _Cell(("disks",), 25),
                _Cell(("network",), 25),
                _Cell(("filesystems",), 30),
                _Cell(("sensors",), 20),
            ],
        ]
    elif width >= _MEDIUM:
        drawn = [
            [_Cell(("cpu",), 62), _Cell(("memory",), 38)],
            [_Cell(("disks",), 32), _Cell(("network",), 32), _Cell(("filesystems",), 36)],
            [_Cell(("load",), 34), _Cell(("pressure",), 33), _Cell(("sensors",), 33)],
        ]
    else:
        drawn = [
            [_Cell(("cpu",), 60), _Cell(("memory",), 40)],
            [_Cell(("disks",), 50), _Cell(("network",), 50)],
            [_Cell(("filesystems",), 55), _Cell(("load",), 45)],
            [_Cell(("pressure",), 50), _Cell(("sensors",), 50)],
        ]
    rows = []
    for row in drawn:
        cells = [_Cell(tuple(name for name in cell.names if name in present), cell.share) for cell in row]
        kept = [cell for cell in cells if cell.names]
        if kept:
            rows.append(kept)
    return rows


def _height(row: list[_Cell], wants: Mapping[str, int], height: int) -> int:
    """Lines of a row with its borders: what its fullest column wants, within what the screen can give."""
    needed = max(sum(wants[name] + 2 for name in cell.names) for cell in row)
    if any("cpu" in cell.names for cell in row):
        return max(min(needed, 12, height // 3), 7)
    return max(min(needed, 9, height // 4), 4)


def _pages(heights: list[int], room: int) -> list[list[int]]:
    """Rows in order, as many to a page as fit."""
    pages: list[list[int]] = []
    used = 0
    for row, size in enumerate(heights):
        if pages and used + size <= room:
            pages[-1].append(row)
            used += size
        else:
            pages.append([row])
            used = size
    return pages


def _place(row: list[_Cell], width: int, y: int, height: int) -> dict[str, Box]:
    boxes: dict[str, Box] = {}
    total = sum(cell.share for cell in row)
    x = 0
    passed = 0
    for cell in row:
        passed += cell.share
        right = width * passed // total
        top = y
        for position, name in enumerate(cell.names):
            left = len(cell.names) - position
            size = (y + height - top + left - 1) // left
            boxes[name] = Box(x, top, right - x, size)
            top += size
        x = right
    return boxes
