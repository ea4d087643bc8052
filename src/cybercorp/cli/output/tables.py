"""The table on a terminal, by Rich: it fits the width, drops the least important columns, cuts with `…`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cybercorp.cli.output.formats import terminal_size
from cybercorp.security.display import safe_text

_GAP = 2
_NARROWEST = 14  # a flexible column is cut down to this before another column is dropped
_CELL_LIMIT = 500


class Layout(NamedTuple):
    """How one column stands on the terminal; see `Column` for the words."""

    heading: str
    right: bool = False
    rank: int = 0
    flexible: bool = False


class Cell(NamedTuple):
    """A text that is not safe yet, and its style."""

    text: str
    style: str = ""


def make_console(*, color: bool, width: int | None = None) -> Console:
    """Rich on stdout, with nothing that could read data as markup."""
    return Console(
        file=sys.stdout,
        width=width or terminal_size()[0],
        no_color=not color,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )


def print_table(console: Console, layouts: Sequence[Layout], rows: Sequence[Sequence[Cell]]) -> None:
    """Print the columns that fit."""
    safe = [[Cell(safe_text(cell.text, _CELL_LIMIT), cell.style) for cell in row] for row in rows]
    natural = [
        max(cell_len(layout.heading), *(cell_len(row[index].text) for row in safe), 1) if safe else len(layout.heading)
        for index, layout in enumerate(layouts)
    ]
    widths = fit(layouts, natural, console.width)
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_edge=False, header_style="bold")
    for index, width in widths.items():
        layout = layouts[index]
        table.add_column(Text(layout.heading), width=width, no_wrap=True, justify="right" if layout.right else "left")
    for row in safe:
        table.add_row(
            *(Text(row[index].text, style=row[index].style, no_wrap=True, overflow="ellipsis") for index in widths)
        )
    console.print(table)


def print_record(console: Console, pairs: Sequence[tuple[str, Cell]]) -> None:
    """Print one thing: a line for each of its values."""
    widest = max((cell_len(name) for name, _ in pairs), default=0)
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_edge=False, show_header=False)
    table.add_column(style="bold", width=widest, no_wrap=True)
    table.add_column(overflow="fold")
    for name, cell in pairs:
        table.add_row(Text(name), Text(safe_text(cell.text, _CELL_LIMIT), style=cell.style))
    console.print(table)


def fit(layouts: Sequence[Layout], natural: Sequence[int], total: int) -> dict[int, int]:
    """The columns to show, by index, and their widths, so that the line is at most `total` wide.

    Flexible columns shrink first; then the columns of the highest rank go, the rightmost first.
    """
    shown = list(range(len(layouts)))
    while True:
        least = [min(natural[i], _NARROWEST) if layouts[i].flexible else natural[i] for i in shown]
        spare = total - _GAP * (len(shown) - 1) - sum(least)
        droppable = [i for i in shown if layouts[i].rank > 0]
        if spare >= 0 or not droppable:
            break
        shown.remove(max(droppable, key=lambda i: (layouts[i].rank, i)))
    widths = dict(zip(shown, least, strict=True))
    for index in shown:
        grown = min(natural[index] - widths[index], max(spare, 0))
        widths[index] += grown
        spare -= grown
    if spare < 0:
        widest = max(widths, key=lambda index: widths[index])
        widths[widest] = max(1, widths[widest] + spare)
    return widths
