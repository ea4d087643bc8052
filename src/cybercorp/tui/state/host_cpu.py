"""The CPU panel: five minutes as an area with its band, the split by state, a meter for each core."""

from __future__ import annotations

import math

from cybercorp.tui.state.charts import BLOCKS, UNKNOWN_GLYPH, Column, Zone, area
from cybercorp.tui.state.host_metrics import HostMetrics
from cybercorp.tui.state.host_panels import Canvas, ChartArea, PanelText, bar, message, title
from cybercorp.tui.state.lines import Line, Run, Tone, fit, heat, line_width, right, spread
from cybercorp.tui.state.scales import percent

AXIS = 5  # cells of "100% " left of the chart
_AXIS_FROM = 36
_SPLIT = (
    ("user", Tone.TEXT),
    ("system", Tone.TEXT),
    ("iowait", Tone.TEXT),
    ("nice", Tone.TEXT),
    ("steal", Tone.WARNING),
    ("interrupt", Tone.TEXT),
    ("softirq", Tone.TEXT),
)
_ALWAYS = ("user", "system", "iowait")
_ASCII_BLOCKS = "_.:-=+*#"


def chart_area(metrics: HostMetrics, canvas: Canvas) -> ChartArea:
    """The part of the CPU panel that is the chart: what split line and cores leave."""
    cores = len(_core_rows(metrics, canvas))
    axis = AXIS if canvas.width >= _AXIS_FROM else 0
    split = 1 if canvas.height - cores >= 3 else 0
    per_cell = 1 if canvas.ascii else 2
    return ChartArea(axis, 0, canvas.width - axis, max(canvas.height - cores - split, 0), per_cell)


def cpu_panel(metrics: HostMetrics, canvas: Canvas) -> PanelText:
    """The chart, the split by state, the cores."""
    catalogue = metrics.catalogue
    if catalogue.cpu is None and not catalogue.cores:
        return message("CPU", "This host does not report its CPU.", canvas)
    now = metrics.value(catalogue.cpu)
    chart = chart_area(metrics, canvas)
    lines = _chart_lines(metrics, chart, canvas)
    core_rows = _core_rows(metrics, canvas)
    if canvas.height - len(lines) - len(core_rows) > 0:
        lines.append(_split_line(metrics, canvas))
    lines.extend(core_rows)
    head = title("CPU", percent(now), heat(now))
    count = len(catalogue.cores)
    cores = f"{count} cores · " if count > 1 and canvas.width >= 50 else ""
    shown = chart if chart.height > 0 and chart.width > 0 else None
    return PanelText(head, lines, [Run(f"{cores}5 min", Tone.MUTED)], chart=shown)


def _chart_lines(metrics: HostMetrics, chart: ChartArea, canvas: Canvas) -> list[Line]:
    if chart.height <= 0 or chart.width <= 0:
        return []
    columns = metrics.columns(metrics.catalogue.cpu, chart.width * chart.per_cell)
    lines = area_lines(columns, chart.width, chart.height, ascii=canvas.ascii)
    if chart.x:
        lines = [_axis(row, chart.height) + line for row, line in enumerate(lines)]
    return lines


def area_lines(columns: list[Column | None], width: int, height: int, *, ascii: bool = False) -> list[Line]:
    """An area of ratios as lines, each row in the heat of its height."""
    lines: list[Line] = []
    for row, cells in enumerate(area(columns, width, height, ascii=ascii)):
        warmth = heat((height - row - 0.5) / height)
        line: Line = []
        text, tone = "", Tone.TEXT
        for cell in cells:
            cell_tone = warmth if cell.zone is Zone.AREA else Tone.MUTED
            glyph = cell.glyph
            if cell_tone is not tone and text:
                line.append(Run(text, tone))
                text = ""
            tone = cell_tone
            text += glyph
        if text:
            line.append(Run(text, tone))
        lines.append(line)
    return lines


def _axis(row: int, height: int) -> Line:
    if row == 0:
        label = "100%"
    elif row == height - 1 and height > 1:
        label = "0%"
    elif height >= 5 and row == height // 2:
        label = "50%" if height % 2 else ""
    else:
        label = ""
    return [Run(right(label, AXIS - 1) + " ", Tone.MUTED)]


def _split_line(metrics: HostMetrics, canvas: Canvas) -> Line:
    split = metrics.cpu_split()
    line: Line = []
    for state, tone in _SPLIT:
        share = split.get(state)
        if state not in _ALWAYS and (share is None or share < 0.005):
            continue
        part = [Run(("  " if line else "") + state + " ", Tone.MUTED), Run(right(percent(share), 4), tone)]
        if line_width(line) + line_width(part) <= canvas.width:
            line += part
    load = metrics.value(metrics.catalogue.load.get("1m"))
    tail = [] if load is None else [Run("  load ", Tone.MUTED), Run(f"{load:.2f}", Tone.TEXT)]
    room = canvas.width - line_width(line) - line_width(tail)
    return spread(line, tail if room >= 0 else [], canvas.width, ascii=canvas.ascii)


def _core_rows(metrics: HostMetrics, canvas: Canvas) -> list[Line]:
    """Meters for every core in at most two fifths of the panel: wide, narrow, numbers only, or one glyph a core."""
    cores = [(label, metrics.value(slot)) for label, slot in metrics.catalogue.cores]
    allowed = max(canvas.height * 2 // 5, 1)
    if len(cores) < 2 or canvas.height < 2 or canvas.width < 12:
        return []
    label_width = max(len(label) for label, _ in cores)
    for least in (8, 4, 0):
        needed = label_width + 1 + least + 4
        for rows in range(1, allowed + 1):
            across = math.ceil(len(cores) / rows)
            if across * needed + (across - 1) * 2 <= canvas.width:
                return _meters(cores, across, label_width, canvas, with_bar=least > 0)
    return _glyphs(cores, allowed, canvas)


def _meters(
    cores: list[tuple[str, float | None]], across: int, label_width: int, canvas: Canvas, *, with_bar: bool
) -> list[Line]:
    cell = (canvas.width - (across - 1) * 2) // across
    size = cell - label_width - 5 if with_bar else 0
    rows = []
    for start in range(0, len(cores), across):
        line: Line = []
        for label, ratio in cores[start : start + across]:
            if line:
                line.append(Run("  "))
            line.append(Run(right(label, label_width) + " ", Tone.MUTED))
            if size:
                line += bar(ratio, size, ascii=canvas.ascii)
            line.append(Run(right(percent(ratio), 4), Tone.TEXT if size else heat(ratio)))
        rows.append(fit(line, canvas.width))
    return rows


def _glyphs(cores: list[tuple[str, float | None]], allowed: int, canvas: Canvas) -> list[Line]:
    """One block a core in groups of eight; where even that is too much, the busiest of several share a block."""
    label_width = len(str(len(cores))) + 1
    room = canvas.width - label_width
    groups = max((room + 1) // 9, 1)
    share = max(math.ceil(len(cores) / (groups * 8 * allowed)), 1)
    values: list[float | None] = []
    for start in range(0, len(cores), share):
        known = [ratio for _, ratio in cores[start : start + share] if ratio is not None]
        values.append(max(known) if known else None)
    glyphs = _ASCII_BLOCKS if canvas.ascii else BLOCKS
    per_row = groups * 8
    rows = []
    for start in range(0, len(values), per_row):
        line: Line = [Run(right(cores[start * share][0], label_width - 1) + " ", Tone.MUTED)]
        for position, ratio in enumerate(values[start : start + per_row]):
            gap = " " if position and position % 8 == 0 else ""
            if ratio is None:
                glyph = "?" if canvas.ascii else UNKNOWN_GLYPH
            else:
                glyph = glyphs[min(max(int(ratio * 8), 0), 7)]
            line.append(Run(gap + glyph, heat(ratio)))
        rows.append(fit(line, canvas.width))
    return rows
