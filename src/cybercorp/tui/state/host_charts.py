"""The cursor in the charts of the host screen: which instant a cell stands for, where an instant stands, its mark."""

from __future__ import annotations

import dataclasses
import math

from cybercorp.tui.state.host_metrics import HostMetrics
from cybercorp.tui.state.host_panels import ChartArea, PanelText
from cybercorp.tui.state.host_tracks import WINDOW_MS
from cybercorp.tui.state.lines import Line, Run, Tone, width_of
from cybercorp.tui.state.processes_order import ProcessSort

CHARTS = {
    "cpu": ProcessSort.CPU,
    "memory": ProcessSort.MEMORY,
    "disks": ProcessSort.IO,
    "network": ProcessSort.CPU,  # the kernel counts no network for a process
    "load": ProcessSort.CPU,
}
"""The panels that have a chart over time, and what the processes of an instant are sorted by under its cursor."""


def instant_at(metrics: HostMetrics, chart: ChartArea, x: int) -> int | None:
    """The time that the chart's cell at `x` (inside the panel) stands for: the middle of its columns."""
    if metrics.timestamp_ms is None or not chart.x <= x < chart.x + chart.width:
        return None
    step, first = _grid(metrics.timestamp_ms, chart)
    middle = (first + (x - chart.x) * chart.per_cell + chart.per_cell / 2) * step
    return min(math.floor(middle), metrics.timestamp_ms)


def cell_of(metrics: HostMetrics, chart: ChartArea, at_ms: int) -> int | None:
    """The cell inside the panel whose time holds `at_ms`; None outside the window."""
    if metrics.timestamp_ms is None or chart.width <= 0:
        return None
    step, first = _grid(metrics.timestamp_ms, chart)
    column = math.floor(at_ms / step) - first
    return chart.x + column // chart.per_cell if 0 <= column < chart.width * chart.per_cell else None


def with_cursor(text: PanelText, cell: int | None, note: Line, *, ascii: bool = False) -> PanelText:
    """The panel with a cell of its chart marked, and what stands there as its note."""
    chart = text.chart
    if chart is None or cell is None:
        return text
    lines = [
        _marked(line, cell, "|" if ascii else "│") if chart.y <= row < chart.y + chart.height else line
        for row, line in enumerate(text.lines)
    ]
    return dataclasses.replace(text, lines=lines, note=note)


def _grid(newest_ms: int, chart: ChartArea) -> tuple[float, int]:
    """The milliseconds of a column, and the number of the first one."""
    count = chart.width * chart.per_cell
    step = WINDOW_MS / count
    return step, math.floor(newest_ms / step) - count + 1


def _marked(line: Line, cell: int, blank: str) -> Line:
    marked: Line = []
    at = 0
    for run in line:
        width = width_of(run.text)
        if at <= cell < at + width and width == len(run.text):
            before, glyph, after = run.text[: cell - at], run.text[cell - at], run.text[cell - at + 1 :]
            pieces = (Run(before, run.tone), Run(blank if glyph == " " else glyph, Tone.CURSOR), Run(after, run.tone))
            marked += [piece for piece in pieces if piece.text]
        else:
            marked.append(run)
        at += width
    if at <= cell:
        marked += [Run(" " * (cell - at)), Run(blank, Tone.CURSOR)]
    return [run for run in marked if run.text]
