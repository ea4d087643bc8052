"""A plot of series over time as styled lines of text: braille curves, axes with units, a legend with figures.

Pure: gets values, returns runs of (text, style). Names in it have passed `safe_text`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from cybercorp.cli.output.axes import Scale, time_label, time_ticks, value_scale
from cybercorp.cli.output.canvas import Canvas, mark
from cybercorp.core.units import format_ratio, format_value
from cybercorp.security.display import safe_text

COLORS = (
    "cyan",
    "yellow",
    "magenta",
    "green",
    "red",
    "blue",
    "bright_cyan",
    "bright_yellow",
    "bright_magenta",
    "white",
)
MOST_SERIES = len(COLORS)
_FIGURES = ("min", "avg", "max", "last")
_TIME_WIDTH = 16  # the longest label of a tick and some room
_LEAST_ROWS, _LEAST_COLUMNS = 3, 10


class Curve(NamedTuple):
    """One series: its name (not safe yet) and a value for each step, or for each of `times_ms`."""

    name: str
    values: Sequence[float | None]
    times_ms: Sequence[int] | None = None


class Run(NamedTuple):
    """A piece of a line in one style."""

    text: str
    style: str = ""


Line = list[Run]


def draw_plot(
    curves: Sequence[Curve],
    *,
    start_ms: int,
    step_ms: int,
    unit: str,
    width: int,
    height: int,
    points: int | None = None,
    braille: bool = True,
) -> list[Line]:
    """The plot, `width` wide: of `points` steps, by default as many as the longest curve has.

    The curves get what the axes and the legend leave of `height`, at least 3 lines.
    """
    known = [value for curve in curves for value in curve.values if value is not None and math.isfinite(value)]
    rows = max(_LEAST_ROWS, height - 3 - len(curves))
    scale = value_scale(min(known, default=0.0), max(known, default=0.0), unit, min(max(rows // 3, 1) + 1, 6))
    labels = {tick: tick_label(tick, scale, unit) for tick in scale.ticks}
    gutter = max(cell_len(label) for label in labels.values())
    columns = max(_LEAST_COLUMNS, width - gutter - 4)
    canvas = Canvas(columns, rows, braille=braille)
    points = points or max((len(curve.values) for curve in curves), default=0)
    span_ms = max(points - 1, 1) * step_ms
    for owner, curve in enumerate(curves):
        places = None if curve.times_ms is None else [(time - start_ms) / span_ms for time in curve.times_ms]
        canvas.curve([_height(value, scale) for value in curve.values], owner, places)
    end_ms = start_ms + max(points, 1) * step_ms
    frame = _Frame(braille)
    lines = _curve_lines(canvas, scale, labels, gutter, curves, frame)
    lines += _time_axis(start_ms, end_ms, gutter, columns, frame)
    return lines + _legend(curves, unit, width)


def tick_label(tick: float, scale: Scale, unit: str) -> str:
    """A tick in its unit; a ratio with a decimal where whole per cents would repeat."""
    if unit == "1" and scale.high - scale.low < 0.05:
        return f"{tick * 100:.2f}%"
    if unit == "1":
        return format_ratio(tick)
    step = scale.ticks[1] - scale.ticks[0] if len(scale.ticks) > 1 else 1.0
    if unit.startswith("{") or unit in ("Cel", "W", "V"):
        return f"{tick:g}" if step < 1000 else format_value(tick, "{1}")
    return format_value(tick, unit)


class _Frame:
    """The characters of the axes."""

    def __init__(self, unicode: bool) -> None:
        self.side, self.tick, self.corner, self.bottom, self.mark = "│┤└─┬" if unicode else "||+-+"


def _height(value: float | None, scale: Scale) -> float | None:
    return scale.place(value) if value is not None and math.isfinite(value) else None


def _curve_lines(
    canvas: Canvas, scale: Scale, labels: dict[float, str], gutter: int, curves: Sequence[Curve], frame: _Frame
) -> list[Line]:
    at_row = {canvas.rows - 1 - round(scale.place(tick) * (canvas.rows - 1)): text for tick, text in labels.items()}
    endings = _endings(canvas, scale, curves)
    lines = []
    for row in range(canvas.rows):
        label = at_row.get(row)
        side = frame.tick if label is not None else frame.side
        line: Line = [Run(f"{(label or '').rjust(gutter)} {side}", "dim")]
        for character, owner in canvas.row(row):
            color = COLORS[owner % len(COLORS)] if owner >= 0 else ""
            if line[-1].style == color:
                line[-1] = Run(line[-1].text + character, color)
            else:
                line.append(Run(character, color))
        line += [Run(mark(owner), COLORS[owner % len(COLORS)]) for owner in endings.get(row, ())]
        lines.append(line)
    return lines


def _endings(canvas: Canvas, scale: Scale, curves: Sequence[Curve]) -> dict[int, list[int]]:
    """Beside the line where a curve ends stands its letter, at most two on a line."""
    if len(curves) < 2:
        return {}
    found: dict[int, list[int]] = {}
    for owner, curve in enumerate(curves):
        last = next((one for one in reversed(curve.values) if one is not None and math.isfinite(one)), None)
        if last is not None:
            row = canvas.rows - 1 - round(scale.place(last) * (canvas.rows - 1))
            if len(found.setdefault(row, [])) < 2:
                found[row].append(owner)
    return found


def _time_axis(start_ms: int, end_ms: int, gutter: int, columns: int, frame: _Frame) -> list[Line]:
    span = end_ms - start_ms
    moments = time_ticks(start_ms, end_ms, max(columns // _TIME_WIDTH, 1))
    step = moments[1] - moments[0] if len(moments) > 1 else span
    ruler = [frame.bottom] * columns
    names = [" "] * (columns + _TIME_WIDTH)
    free_from = 0
    for moment in moments:
        column = round((moment - start_ms) / span * (columns - 1))
        text = time_label(moment, step_ms=step, span_ms=span)
        begin = max(0, column - len(text) // 2)
        if begin < free_from or begin + len(text) > columns + 2:
            continue
        ruler[column] = frame.mark
        names[begin : begin + len(text)] = text
        free_from = begin + len(text) + 1
    indent = " " * (gutter + 1)
    return [
        [Run(f"{indent}{frame.corner}{''.join(ruler)}", "dim")],
        [Run(f"{indent} {''.join(names).rstrip()}", "dim")],
    ]


def _legend(curves: Sequence[Curve], unit: str, width: int) -> list[Line]:
    figures = [_figures(curve, unit) for curve in curves]
    wide = max(map(len, (*_FIGURES, *(text for row in figures for text in row)))) + 1
    room = width - 3 - len(_FIGURES) * (wide + 2)
    shown = len(_FIGURES) if room >= 12 else 2 if width - 3 - 2 * (wide + 2) >= 12 else 0
    natural = max((cell_len(safe_text(curve.name, 200)) for curve in curves), default=0)
    name_width = max(4, min(natural, width - 3 - shown * (wide + 2)))
    wanted = range(len(_FIGURES) - shown, len(_FIGURES))
    head = "   " + " " * name_width + "".join(f"  {_FIGURES[index].rjust(wide)}" for index in wanted)
    lines: list[Line] = [[Run(head.rstrip(), "dim")]] if shown else []
    for owner, curve in enumerate(curves):
        name = safe_text(curve.name, 200)
        if cell_len(name) > name_width:
            name = set_cell_size(name, name_width - 1) + "…"
        line: Line = [
            Run(f" {mark(owner)} ", f"bold {COLORS[owner % len(COLORS)]}"),
            Run(set_cell_size(name, name_width)),
        ]
        line += [Run(f"  {figures[owner][index].rjust(wide)}") for index in wanted]
        lines.append(line)
    return lines


def _figures(curve: Curve, unit: str) -> list[str]:
    known = [value for value in curve.values if value is not None and math.isfinite(value)]
    if not known:
        return [format_value(None, unit)] * len(_FIGURES)
    return [format_value(one, unit) for one in (min(known), math.fsum(known) / len(known), max(known), known[-1])]
