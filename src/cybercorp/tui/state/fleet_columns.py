"""The fleet as lines: which columns fit a width, their heads and units, one host as one line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cybercorp.core.units import UNKNOWN
from cybercorp.protocol.hosts import HostSort, HostState
from cybercorp.tui.state.charts import meter, sparkline
from cybercorp.tui.state.fleet import FleetModel, FleetRow
from cybercorp.tui.state.lines import Line, Run, Tone, cut, heat, left, right, width_of
from cybercorp.tui.state.scales import Scale, byte_scale, percent

MARK = 4  # cells before the name: the cursor, the state, a blank on either side
_GAP = 2
_STATES = {
    HostState.ONLINE: ("●", Tone.GOOD),
    HostState.STALE: ("◌", Tone.WARNING),
    HostState.OFFLINE: ("✖", Tone.ERROR),
}
_LEAST_NAME, _MOST_NAME = 12, 32
_LABELS_FROM = 130
_SCALE_HELD_MS = 60_000


class ColumnSpec(NamedTuple):
    """`least` and `most` cells; `right` aligned; the sort order that its head chooses."""

    name: str
    head: str
    least: int
    most: int
    sort: HostSort | None
    right: bool = True


_COLUMNS = (
    ColumnSpec("name", "HOST", _LEAST_NAME, _MOST_NAME, HostSort.NAME, right=False),
    ColumnSpec("cpu", "CPU", 4, 4, HostSort.CPU),
    ColumnSpec("history", "5 MIN", 8, 30, HostSort.CPU, right=False),
    ColumnSpec("memory", "MEM", 4, 4, HostSort.MEMORY),
    ColumnSpec("memory_bar", "", 4, 12, HostSort.MEMORY, right=False),
    ColumnSpec("disk", "DISK", 4, 4, HostSort.DISK),
    ColumnSpec("network_receive", "↓", 7, 8, HostSort.NETWORK_RECEIVE),
    ColumnSpec("network_transmit", "↑", 7, 8, HostSort.NETWORK_TRANSMIT),
    ColumnSpec("load", "LOAD", 5, 6, HostSort.LOAD),
    ColumnSpec("top", "TOP PROCESS", 17, 26, None, right=False),
    ColumnSpec("alerts", "ALERTS", 6, 6, None),
    ColumnSpec("labels", "LABELS", 12, 60, None, right=False),
    ColumnSpec("seen", "SEEN", 4, 4, HostSort.SEEN),
)
_SPECS = {one.name: one for one in _COLUMNS}
# Dropped from the end of this list where the screen is narrow.
_IMPORTANCE = (
    "name", "cpu", "memory", "seen", "history", "disk", "network_receive", "network_transmit", "load", "memory_bar",
    "top", "alerts", "labels",
)  # fmt: skip
# What is left over goes to these, in this order, up to their most.
_GROWTH = ("history", "name", "network_receive", "network_transmit", "load", "memory_bar", "top", "labels")


class PlacedColumn(NamedTuple):
    spec: ColumnSpec
    x: int
    width: int


class FleetColumns(NamedTuple):
    """The columns of a screen of some width, and the units that all its rows share."""

    placed: tuple[PlacedColumn, ...]
    receive: Scale
    transmit: Scale

    def at(self, x: int) -> PlacedColumn | None:
        """The column under a cell."""
        return next((one for one in reversed(self.placed) if x >= one.x), None)


def place_columns(
    width: int, *, names: int = _LEAST_NAME, alerts: bool = False, labels: int = 0
) -> tuple[PlacedColumn, ...]:
    """The columns that fit, by importance. `names` and `labels` are the longest texts (0: no labels)."""
    widths: dict[str, int] = {}
    room = width - MARK
    for name in _IMPORTANCE:
        spec = _SPECS[name]
        if (name == "alerts" and not alerts) or (name == "labels" and (not labels or width < _LABELS_FROM)):
            continue
        gap = (1 if name == "memory_bar" else _gap(width)) if widths else 0
        if spec.least + gap > room:
            continue
        widths[name] = spec.least
        room -= spec.least + gap
    limits = {"name": min(max(names, _LEAST_NAME), _MOST_NAME), "labels": labels}
    for name in _GROWTH:
        if name not in widths or room <= 0:
            continue
        most = min(_SPECS[name].most, limits.get(name, _SPECS[name].most))
        if name == "history" and width < 110:
            most = 10
        elif name == "history" and width < 180:
            most = 15
        grown = min(max(most - widths[name], 0), room)
        widths[name] += grown
        room -= grown
    # The last sign of life stands at the right edge: what is left over widens the column before it.
    widest = next((name for name in ("labels", "top", "memory_bar", "name") if name in widths), "name")
    widths[widest] += room
    placed, x = [], MARK
    for spec in _COLUMNS:
        if spec.name in widths:
            if spec.name == "memory_bar":
                x -= _gap(width) - 1
            placed.append(PlacedColumn(spec, x, widths[spec.name]))
            x += widths[spec.name] + _gap(width)
    return tuple(placed)


def _gap(width: int) -> int:
    return _GAP if width >= 110 else 1


class FleetUnits:
    """The units of the network columns: they grow at once and shrink only after a minute, so nothing flickers."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[int, float]] = {}

    def scale(self, name: str, values: Iterable[float | None], now_ms: int) -> Scale:
        """The unit for these values."""
        top = max((one for one in values if one is not None), default=0.0)
        since, held = self._held.get(name, (now_ms, 0.0))
        if top >= held or now_ms - since > _SCALE_HELD_MS or now_ms < since:
            self._held[name] = (now_ms, top)
            held = top
        return byte_scale(held, per_second=True, least="KiB")


class FleetLayout:
    """Columns for a model and a width. Widths only grow while the same hosts are looked at, so that nothing jumps."""

    def __init__(self) -> None:
        self._units = FleetUnits()
        self._names = 0
        self._labels = 0
        self._alerts = False
        self._subject: tuple[object, ...] = ()

    def columns(self, model: FleetModel, width: int) -> FleetColumns:
        """The columns for what the model holds."""
        subject = (width, model.selector)
        if subject != self._subject:
            self._subject, self._names, self._labels, self._alerts = subject, 0, 0, False
        rows = list(model.rows.values())
        self._names = max(self._names, max((width_of(row.name) for row in rows), default=0))
        self._labels = max(self._labels, max((width_of(row.labels) for row in rows), default=0))
        self._alerts = self._alerts or any(row.alerts for row in rows)
        now = model.timestamp_ms or 0
        return FleetColumns(
            place_columns(width, names=self._names, alerts=self._alerts, labels=self._labels),
            self._units.scale("receive", (row.network_receive for row in rows), now),
            self._units.scale("transmit", (row.network_transmit for row in rows), now),
        )


def head_line(model: FleetModel, columns: FleetColumns) -> Line:
    """The heads; the one that sorts carries an arrow."""
    line: Line = [Run(" " * MARK, Tone.MUTED)]
    x = MARK
    arrow = "▼" if model.descending else "▲"
    for spec, at, width in columns.placed:
        text = spec.head
        if spec.name == "network_receive":
            text = f"↓{columns.receive.unit}" if width < 8 else f"↓ {columns.receive.unit}"
        elif spec.name == "network_transmit":
            text = f"↑{columns.transmit.unit}" if width < 8 else f"↑ {columns.transmit.unit}"
        sorts = spec.sort is model.sort and spec.name not in ("history", "memory_bar")
        if sorts and width_of(text) < width:
            text += arrow
        elif sorts:
            text = text[: width - 1] + arrow
        line.append(Run(" " * (at - x), Tone.MUTED))
        line.append(Run(right(text, width) if spec.right else left(text, width), Tone.ACCENT if sorts else Tone.MUTED))
        x = at + width
    return line


def row_line(
    row: FleetRow,
    columns: FleetColumns,
    *,
    now_ms: int,
    selected: bool = False,
    stale: bool = False,
    ascii: bool = False,
) -> Line:
    """One host. `now_ms` is the present of what is shown: it makes the age of the last sign of life."""
    glyph, tone = _STATES[row.state]
    line: Line = [
        Run("▌" if selected else " ", Tone.FOCUS),
        Run(" "),
        Run(glyph, Tone.MUTED if stale else tone),
        Run(" "),
    ]
    silent = row.state is HostState.OFFLINE or stale
    x = MARK
    for spec, at, width in columns.placed:
        line.append(Run(" " * (at - x)))
        line += _cell(row, spec.name, width, columns, now_ms=now_ms, silent=silent, ascii=ascii)
        x = at + width
    return line


def absent_line(columns: FleetColumns, *, ascii: bool = False) -> Line:
    """A row that has not come yet."""
    return [Run(" " * MARK), Run("." if ascii else "·", Tone.MUTED)]


def _cell(
    row: FleetRow, name: str, width: int, columns: FleetColumns, *, now_ms: int, silent: bool, ascii: bool
) -> Line:
    match name:
        case "name":
            return [Run(left(row.name, width, ascii=ascii), Tone.MUTED if silent else Tone.TITLE)]
        case "cpu":
            return [Run(right(percent(row.cpu), width), Tone.MUTED if silent else heat(row.cpu))]
        case "history":
            line = sparkline(row.history, width, high=1.0, ascii=ascii)
            return [Run(line, Tone.MUTED)] if silent else _heated(line, row.history, width)
        case "memory":
            return [Run(right(percent(row.memory), width), Tone.MUTED if silent else heat(row.memory))]
        case "memory_bar":
            drawn = meter(row.memory, width, ascii=ascii) if row.memory is not None else " " * width
            return [Run(drawn, Tone.MUTED if silent else heat(row.memory))]
        case "disk":
            return [Run(right(percent(row.disk), width), Tone.MUTED if silent else heat(row.disk))]
        case "network_receive":
            return [_number(columns.receive.text(row.network_receive), width, silent)]
        case "network_transmit":
            return [_number(columns.transmit.text(row.network_transmit), width, silent)]
        case "load":
            return [_number(UNKNOWN if row.load is None else f"{row.load:.2f}", width, silent)]
        case "top":
            return _top(row, width, silent=silent, ascii=ascii)
        case "alerts":
            return [Run(right(f"▲ {row.alerts}" if row.alerts else "", width), Tone.WARNING)]
        case "labels":
            return [Run(left(row.labels, width, ascii=ascii), Tone.MUTED if silent else Tone.SECOND)]
        case _:
            return [Run(right(short_age(row.seen_at_ms, now_ms), width), Tone.MUTED)]


def _number(text: str, width: int, silent: bool) -> Run:
    return Run(right(text, width), Tone.MUTED if silent or text == UNKNOWN else Tone.TEXT)


def _heated(line: str, history: tuple[float | None, ...], width: int) -> Line:
    """The sparkline coloured by its own heights: one run per stretch of one tone."""
    shown: list[Tone] = [Tone.MUTED] * (width - min(len(history), width))
    count = len(history)
    for cell in range(min(count, width)):
        low, high = (cell, cell + 1) if count <= width else (cell * count // width, (cell + 1) * count // width)
        shown.append(heat(max((one for one in history[low:high] if one is not None), default=None)))
    runs: Line = []
    for glyph, tone in zip(line, shown, strict=True):
        if runs and runs[-1].tone is tone:
            runs[-1] = Run(runs[-1].text + glyph, tone)
        else:
            runs.append(Run(glyph, tone))
    return runs


def _top(row: FleetRow, width: int, *, silent: bool, ascii: bool) -> Line:
    if not row.top_process:
        return [Run(left(UNKNOWN, width), Tone.MUTED)]
    share = percent(row.top_process_cpu)
    name = cut(row.top_process, width - 6, ascii=ascii)
    return [
        Run(left(name, width - 5), Tone.MUTED if silent else Tone.TEXT),
        Run(right(share, 5), Tone.MUTED if silent or row.top_process_cpu is None else heat(row.top_process_cpu / 4)),
    ]


def short_age(seen_at_ms: int | None, now_ms: int) -> str:
    """`now`, `14s`, `4m`, `3h`, `2d`."""
    if seen_at_ms is None:
        return UNKNOWN
    seconds = max(now_ms - seen_at_ms, 0) // 1000
    if seconds < 3:
        return "now"
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{min(seconds // size, 999)}{unit}"
    return f"{seconds}s"
