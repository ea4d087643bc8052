"""A bordered panel that draws lines of text, and redraws only those that changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from cybercorp.tui.state.host_panels import Canvas, PanelText
from cybercorp.tui.state.lines import Line, Run, Tone, fit, line_width
from cybercorp.tui.widgets.glyphs import to_ascii, wants_ascii
from cybercorp.tui.widgets.palette import Palette, palette_of

Draw = Callable[[Canvas], PanelText]
_SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_BOX = "╭╮╰╯─│"
_ASCII_BOX = "++++-|"


class Panel(Widget):
    """Shows what `draw` makes for its size. `renew` asks again; the terminal gets only the lines that differ."""

    DEFAULT_CSS = """
    Panel { width: 1fr; height: 1fr; }
    """
    ALLOW_SELECT: ClassVar[bool] = False

    class TitleClicked(Message):
        """The title was clicked: the panel wants to grow or to shrink back."""

        def __init__(self, panel: Panel) -> None:
            super().__init__()
            self.panel = panel

        @property
        def control(self) -> Panel:
            return self.panel

    def __init__(self, draw: Draw, *, number: int | None = None, id: str | None = None) -> None:
        super().__init__(id=id)
        self._draw = draw
        self._number = number
        self._lines: list[Line] = []
        self.lit = False

    @property
    def canvas(self) -> Canvas:
        """The inside: without the border and one blank on either side."""
        return Canvas(max(self.size.width - 4, 1), max(self.size.height - 2, 0), wants_ascii(self.app))

    def renew(self) -> None:
        """Draw again, and refresh the lines that changed."""
        if not self.is_attached or self.size.width < 6 or self.size.height < 2:
            return
        lines = self._frame(self._draw(self.canvas), self.canvas)
        if len(lines) != len(self._lines):
            self._lines = lines
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(self._lines, lines, strict=True)) if old != new]
        self._lines = lines
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def light(self, lit: bool) -> None:
        """Draw the border as that of the panel with the focus."""
        if lit is not self.lit:
            self.lit = lit
            self.renew()

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self.refresh())

    def on_resize(self) -> None:
        self._lines = []
        self.renew()

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            event.stop()
            self.post_message(self.TitleClicked(self))

    def render_line(self, y: int) -> Strip:
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.visual_style.rich_style)
        return strip_of(self._lines[y], palette_of(self), wants_ascii(self.app))

    def _frame(self, content: PanelText, canvas: Canvas) -> list[Line]:
        width = canvas.width + 4
        box = _ASCII_BOX if canvas.ascii else _BOX
        tone = Tone.FOCUS if self.lit else Tone.BORDER
        lines = [self._top(content, width, box, tone, ascii=canvas.ascii)]
        edge = Run(box[5], tone)
        for row in range(canvas.height):
            inner = content.lines[row] if row < len(content.lines) else []
            lines.append([edge, Run(" "), *fit(inner, canvas.width, ascii=canvas.ascii), Run(" "), edge])
        lines.append(self._bottom(content.foot, width, box, tone))
        return lines

    def _top(self, content: PanelText, width: int, box: str, tone: Tone, *, ascii: bool) -> Line:
        mark = ""
        if self._number is not None:
            mark = f"{self._number} " if ascii else _SUPERSCRIPT[self._number]
        head: Line = [Run(" "), *([Run(mark, Tone.ACCENT)] if mark else []), *content.title, Run(" ")]
        note: Line = [Run(" "), *content.note, Run(" ")] if any(one.text for one in content.note) else []
        room = width - 4
        if line_width(head) + line_width(note) > room:
            note = []
        if line_width(head) > room:
            head = fit(head, room, ascii=ascii)
        fill = room - line_width(head) - line_width(note)
        return [Run(box[0] + box[4], tone), *head, Run(box[4] * fill, tone), *note, Run(box[4] + box[1], tone)]

    def _bottom(self, foot: Line, width: int, box: str, tone: Tone) -> Line:
        foot = [Run(" "), *foot, Run(" ")] if foot else []
        fill = width - 4 - line_width(foot)
        if fill < 0:
            foot, fill = [], width - 4
        return [Run(box[2] + box[4], tone), *foot, Run(box[4] * (fill + 1) + box[3], tone)]


def strip_of(line: Line, palette: Palette, ascii: bool = False) -> Strip:
    """A line in the palette's colours. Text becomes segments as it is: no markup is read."""
    if ascii:
        return Strip([Segment(to_ascii(text), palette[tone]) for text, tone in line if text])
    return Strip([Segment(text, palette[tone]) for text, tone in line if text])
