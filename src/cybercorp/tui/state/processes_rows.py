"""How the process table is written: which columns fit, what their heads say, one row as a line."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple

from cybercorp.core.units import UNKNOWN
from cybercorp.tui.state.charts import sparkline
from cybercorp.tui.state.lines import Line, Run, Tone, cut, heat, left, right, width_of
from cybercorp.tui.state.processes import ProcessModel
from cybercorp.tui.state.processes_order import ProcessSort
from cybercorp.tui.state.processes_tree import TreeRow, guide
from cybercorp.tui.state.scales import Scale, byte_scale

MARK = 2  # cells for the cursor in front of a row
_COMMAND_LEAST = 16
_COMMAND_WANTED = 26


class ColumnSpec(NamedTuple):
    name: str
    head: str
    width: int
    sort: ProcessSort | None
    least_command: int  # what must remain for the command before this column is shown


_COLUMNS = (
    ColumnSpec("pid", "PID", 7, ProcessSort.PID, 0),
    ColumnSpec("user", "USER", 8, ProcessSort.USER, _COMMAND_LEAST),
    ColumnSpec("command", "COMMAND", 0, ProcessSort.COMMAND, 0),
    ColumnSpec("cpu", "CPU%", 6, ProcessSort.CPU, 0),
    ColumnSpec("rss", "RSS", 9, ProcessSort.MEMORY, 0),
    ColumnSpec("spark", "LAST MIN", 8, None, _COMMAND_LEAST + 4),
    ColumnSpec("threads", "THR", 4, ProcessSort.THREADS, _COMMAND_WANTED),
    ColumnSpec("read", "READ", 8, ProcessSort.READ, _COMMAND_WANTED),
    ColumnSpec("write", "WRITE", 8, ProcessSort.WRITE, _COMMAND_WANTED),
    ColumnSpec("started", "SINCE", 6, ProcessSort.STARTED, _COMMAND_WANTED + 4),
    ColumnSpec("state", "S", 1, None, _COMMAND_WANTED + 8),
)
# Dropped from the end of this list when the table is narrow.
_IMPORTANCE = ("command", "pid", "cpu", "rss", "user", "spark", "threads", "write", "read", "started", "state")


class PlacedColumn(NamedTuple):
    spec: ColumnSpec
    x: int
    width: int


@dataclass
class ProcessColumns:
    """The columns of a table of a certain width, and the units that all its rows share."""

    placed: tuple[PlacedColumn, ...]
    memory: Scale
    rate: Scale

    def at(self, x: int) -> PlacedColumn | None:
        """The column under a cell of the header."""
        for one in self.placed:
            if one.x <= x < one.x + one.width + 1:
                return one
        return None


def place_columns(width: int, *, spark: int = 8) -> tuple[PlacedColumn, ...]:
    """The columns that fit into `width` cells, by importance; the command takes what is left."""
    specs = {one.name: one._replace(width=spark) if one.name == "spark" else one for one in _COLUMNS}
    chosen = ["command"]
    used = MARK
    for name in _IMPORTANCE[1:]:
        spec = specs[name]
        if width - used - spec.width - 1 < max(spec.least_command, _COMMAND_LEAST if name in ("pid", "cpu") else 0):
            continue
        chosen.append(name)
        used += spec.width + 1
    placed = []
    x = MARK
    for spec in _COLUMNS:
        if spec.name in chosen:
            spec = specs[spec.name]
            size = spec.width if spec.name != "command" else max(width - used, 0)
            placed.append(PlacedColumn(spec, x, size))
            x += size + 1
    return tuple(placed)


class ColumnUnits:
    """Units of the memory and rate columns: they grow at once and shrink only after a minute, so nothing flickers."""

    def __init__(self) -> None:
        self._tops: dict[str, tuple[int, float]] = {}

    def scale(self, name: str, top: float, now_ms: int, *, per_second: bool) -> Scale:
        since, held = self._tops.get(name, (now_ms, 0.0))
        if top >= held or now_ms - since > 60_000 or now_ms < since:
            self._tops[name] = (now_ms, top)
            held = top
        return byte_scale(held, per_second=per_second, least="KiB" if per_second else "MiB")


def columns_for(model: ProcessModel, width: int, units: ColumnUnits) -> ProcessColumns:
    """Columns and units for the newest table."""
    table = model.table
    # Four digits before the point are still read at a glance, and one unit serves the largest and the smallest alike.
    largest = max(table.rss_bytes, default=0) / 100
    rates = [one for one in (*table.read_rate, *table.write_rate) if one is not None]
    return ProcessColumns(
        place_columns(width, spark=8 if width < 150 else 12),
        units.scale("memory", largest, table.timestamp_ms, per_second=False),
        units.scale("rate", max(rates, default=0.0) / 9, table.timestamp_ms, per_second=True),
    )


def header_line(model: ProcessModel, columns: ProcessColumns, *, ascii: bool = False) -> Line:
    """The heads; the one that sorts carries an arrow."""
    arrow = ("v" if model.descending else "^") if ascii else ("▼" if model.descending else "▲")
    line: Line = [Run(" " * MARK, Tone.MUTED)]
    for position, (spec, _, width) in enumerate(columns.placed):
        sorts = spec.sort is model.sort or (model.sort is ProcessSort.IO and spec.name in ("read", "write"))
        head = spec.head
        if spec.name == "rss":
            head = f"RSS {columns.memory.unit}"
        elif spec.name == "read" and width >= 7:
            head = f"R {columns.rate.unit}"
        elif spec.name == "write" and width >= 7:
            head = f"W {columns.rate.unit}"
        if sorts:
            head = f"{head}{arrow}" if width_of(head) < width else f"{cut_plain(head, width - 1)}{arrow}"
        text = left(head, width) if spec.name in ("user", "command", "spark", "state") else right(head, width)
        line.append(Run((" " if position else "") + text, Tone.ACCENT if sorts else Tone.MUTED))
    return line


def cut_plain(text: str, width: int) -> str:
    """The start of a text of ours, without a sign that something is missing."""
    return text[:width]


def row_line(
    model: ProcessModel, index: int, columns: ProcessColumns, *, now: dt.datetime, ascii: bool = False
) -> Line:
    """The shown row `index`."""
    row = model.rows[index]
    tree = model.tree_rows[index] if model.tree and index < len(model.tree_rows) else None
    line: Line = []
    for position, (spec, _, width) in enumerate(columns.placed):
        gap = " " if position else ""
        if spec.name == "command":
            line.append(Run(gap))
            line.extend(_command(model, row, tree, width, ascii=ascii))
            continue
        text, tone = _cell(model, row, spec.name, width, columns, now, ascii=ascii)
        line.append(Run(gap + text, tone))
    return line


def _cell(
    model: ProcessModel, row: int, name: str, width: int, columns: ProcessColumns, now: dt.datetime, *, ascii: bool
) -> tuple[str, Tone]:
    table = model.table
    match name:
        case "pid":
            return right(str(table.pid[row]), width), Tone.MUTED
        case "user":
            return left(model.text("user", row), width, ascii=ascii), Tone.SECOND
        case "cpu":
            cpu = table.cpu[row]
            if cpu is None:
                return right(UNKNOWN, width), Tone.MUTED
            text = f"{cpu * 100:.1f}" if cpu < 99.995 else f"{cpu * 100:.0f}"
            return right(text, width), heat(cpu) if cpu >= 0.0005 else Tone.MUTED
        case "rss":
            rss = table.rss_bytes[row]
            return right(columns.memory.text(float(rss)), width), Tone.TEXT if rss else Tone.MUTED
        case "spark":
            values = model.activity(row, width)
            top = max((value for value in values if value is not None), default=0.0)
            drawn = sparkline(values, width, high=max(top, 1.0), ascii=ascii)
            return drawn, heat(top) if top >= 0.0005 else Tone.BORDER
        case "threads":
            return right(str(table.threads[row]), width), Tone.MUTED
        case "read" | "write":
            rate = table.read_rate[row] if name == "read" else table.write_rate[row]
            active = rate is not None and rate >= columns.rate.divisor * 0.05
            return right(columns.rate.text(rate), width), Tone.TEXT if active else Tone.MUTED
        case "started":
            return right(since(table.started_at_ms[row], now), width), Tone.MUTED
        case _:
            return left(model.text("state", row), width, ascii=ascii), Tone.MUTED


def since(started_at_ms: int, now: dt.datetime) -> str:
    """When a process began: `09:12` today, `Nov 21` this year, else the year; `–` when unknown."""
    if started_at_ms <= 0:
        return UNKNOWN
    try:
        began = dt.datetime.fromtimestamp(started_at_ms / 1000, now.tzinfo)
    except (ValueError, OverflowError, OSError):
        return UNKNOWN
    if began.date() == now.date():
        return f"{began:%H:%M}"
    if began.year == now.year:
        return f"{began:%b} {began.day:>2}"
    return str(began.year)


def _command(model: ProcessModel, row: int, tree: TreeRow | None, width: int, *, ascii: bool) -> Line:
    """Tree lines, the program's name without its folder, then its arguments."""
    prefix = guide(tree, ascii=ascii) if tree else ""
    prefix = cut(prefix, max(width - 8, 0), ascii=ascii)
    room = width - width_of(prefix)
    program, blank, arguments = model.text("command", row).partition(" ")
    base = program if program.startswith("[") else program.rpartition("/")[2] or program
    line: Line = [Run(prefix, Tone.BORDER)] if prefix else []
    base = cut(base, room, ascii=ascii)
    line.append(Run(base, Tone.TEXT if not base.startswith("[") else Tone.MUTED))
    room -= width_of(base)
    if tree and tree.collapsed:
        note = f" (+{tree.children})"
        if room >= len(note):
            line.append(Run(note, Tone.ACCENT))
            room -= len(note)
    if room > 0:
        line.append(Run(left(blank + arguments, room, ascii=ascii), Tone.MUTED))
    return line
