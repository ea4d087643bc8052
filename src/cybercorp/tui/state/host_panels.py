"""What every panel of the host screen is: a title with its key number, a note, and lines for a given size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from cybercorp.tui.state.charts import is_known, meter
from cybercorp.tui.state.lines import Line, Run, Tone, heat


class ChartArea(NamedTuple):
    """Where the chart of a panel lies inside it, in cells; `per_cell` columns of the five minutes stand in each."""

    x: int
    y: int
    width: int
    height: int
    per_cell: int = 1


@dataclass(frozen=True)
class PanelText:
    """A panel's content: `title` and `note` stand in its upper border, `foot` in its lower, `lines` fill its inside.

    `chart` is the part of the inside that is a chart over time.
    """

    title: Line
    lines: list[Line] = field(default_factory=list)
    note: Line = field(default_factory=list)
    foot: Line = field(default_factory=list)
    chart: ChartArea | None = None


class Canvas(NamedTuple):
    """The inside of a panel: cells across and down, and whether only ASCII may be drawn."""

    width: int
    height: int
    ascii: bool = False


def title(name: str, key: str = "", tone: Tone = Tone.VALUE) -> Line:
    """A title with its key number."""
    return [Run(name, Tone.TITLE), *([Run(" "), Run(key, tone)] if key else [])]


def bar(ratio: float | None, width: int, *, ascii: bool = False) -> Line:
    """A meter in the heat of its ratio on a faint track."""
    filled = meter(ratio, width, ascii=ascii)
    if not is_known(ratio):
        return [Run(filled, Tone.BORDER)]
    filled = filled.rstrip(" ")
    track = ("." if ascii else "░") * (width - len(filled))
    return [Run(filled, heat(ratio)), Run(track, Tone.BORDER)] if filled else [Run(track, Tone.BORDER)]


def message(name: str, text: str, canvas: Canvas) -> PanelText:
    """A designed empty state: one muted sentence, wrapped to the panel."""
    words, lines, current = text.split(), [], ""
    for word in words:
        if current and len(current) + 1 + len(word) > canvas.width:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}".strip()
    lines.append(current)
    return PanelText(title(name), [[Run(line, Tone.MUTED)] for line in lines[: max(canvas.height, 1)]])
