"""The time bar: the load of a window of time, what happened in it, and where in it the screen looks."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from cybercorp.tui.state.charts import sparkline
from cybercorp.tui.state.instant import InstantModel, describe_instant
from cybercorp.tui.state.lines import Line, Run, Tone, fit, heat, line_width
from cybercorp.tui.state.time_track import Columns, TimeTrack, columns_for
from cybercorp.tui.widgets.glyphs import wants_ascii
from cybercorp.tui.widgets.palette import palette_of
from cybercorp.tui.widgets.panel import strip_of

_EDGE = 7  # ` 13:33 `


class TimeBar(Widget):
    """Two lines: a rule with marks and the cursor, and the sparkline between the window's two ends."""

    DEFAULT_CSS = """
    TimeBar { height: 2; width: 1fr; }
    """
    ALLOW_SELECT: ClassVar[bool] = False

    class Chosen(Message):
        """An instant was clicked; None for the present."""

        def __init__(self, at_ms: int | None) -> None:
            super().__init__()
            self.at_ms = at_ms

    class Zoomed(Message):
        """The wheel was turned over the bar: more time (1) or less (-1)."""

        def __init__(self, levels: int) -> None:
            super().__init__()
            self.levels = levels

    def __init__(self, instant: InstantModel, track: TimeTrack, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._instant = instant
        self.track = track
        self.subject = "cpu"
        self.host_id: str | None = None
        self.stale = False
        self._lines: list[Line] = []
        self._pointed: int | None = None

    @property
    def columns(self) -> Columns:
        """The columns that are drawn now."""
        start, end = self._instant.window()
        return columns_for(start, end, self.size.width - 2 * _EDGE)

    def renew(self) -> None:
        """Draw again where it differs."""
        if not self.is_attached or self.size.width < 3 * _EDGE:
            return
        lines = self._describe()
        if len(lines) != len(self._lines):
            self._lines = lines
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(self._lines, lines, strict=True)) if old != new]
        self._lines = lines
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self.refresh())

    def on_resize(self) -> None:
        self._lines = []
        self.renew()

    def render_line(self, y: int) -> Strip:
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.visual_style.rich_style)
        return strip_of(self._lines[y], palette_of(self), wants_ascii(self.app))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        at_ms = self._instant_under(event.x)
        if event.x >= self.size.width - _EDGE:
            self.post_message(self.Chosen(None))
        elif at_ms is not None:
            columns = self.columns
            mark = self.track.marks(columns, host_id=self.host_id).get(columns.column_at(at_ms) or 0)
            self.post_message(self.Chosen(at_ms if mark is None else mark.at_ms))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._point(self._instant_under(event.x))

    def on_leave(self) -> None:
        self._point(None)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.post_message(self.Zoomed(1))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.post_message(self.Zoomed(-1))

    def _instant_under(self, x: int) -> int | None:
        columns = self.columns
        column = x - self._left(columns)
        return columns.instant_of(column) if 0 <= column < columns.length else None

    def _point(self, at_ms: int | None) -> None:
        if at_ms != self._pointed:
            self._pointed = at_ms
            self.renew()

    def _left(self, columns: Columns) -> int:
        return self.size.width - _EDGE - columns.length

    def _describe(self) -> list[Line]:
        columns = self.columns
        values = self.track.values(columns)
        start, end = (_edge_time(one, columns) for one in (columns.start_ms, columns.end_ms))
        left = self._left(columns)
        bar: Line = [Run(f"{start:>{left - 1}} ", Tone.MUTED)]
        at_ms = self._instant.at_ms
        # Whole columns may begin a little after the window does.
        cursor = None if at_ms is None else columns.column_at(max(at_ms, columns.start_ms))
        glyphs = sparkline(values, columns.length, high=1.0, ascii=wants_ascii(self.app))
        for column, glyph in enumerate(glyphs):
            known = values[column] is not None and not self.stale
            tone = Tone.CURSOR if column == cursor else heat(values[column]) if known else Tone.MUTED
            if bar and bar[-1].tone is tone and len(bar) > 1:
                bar[-1] = Run(bar[-1].text + glyph, tone)
            else:
                bar.append(Run(glyph, tone))
        present = self._instant.window()[1] >= self._instant.now_ms() - columns.step_ms
        last = "now" if self._instant.recorded is None else "end"
        bar.append(Run(f" {last if present else end}", Tone.MUTED))
        return [self._rule(columns, left, cursor), fit(bar, self.size.width)]

    def _rule(self, columns: Columns, left: int, cursor: int | None) -> Line:
        label = self._label()
        width = self.size.width
        cells: list[Run] = [Run("─", Tone.BORDER)] * width
        for column, mark in self.track.marks(columns, host_id=self.host_id).items():
            cells[left + column] = Run(mark.glyph, mark.tone)
        if cursor is not None:
            cells[left + cursor] = Run("▼", Tone.ACCENT)
        taken = line_width(label)
        # The label stands at the left unless the cursor or the mouse is there.
        at = width - taken - 2 if cursor is not None and left + cursor < taken + 2 else 1
        kept = cells[:at] + [Run(piece, one.tone) for one in label for piece in one.text] + cells[at + taken :]
        past = self._past_word()
        middle = (width - len(past)) // 2
        for start in sorted(range(max(width - len(past), 0)), key=lambda one: abs(one - middle)):
            if all(cell.text == "─" for cell in kept[start : start + len(past)]):  # marks and cursor matter more
                kept[start : start + len(past)] = [Run(letter, Tone.ACCENT) for letter in past]
                break
        return fit(_join(kept), width)

    def _past_word(self) -> str:
        """That the past is shown, in words: colour and place alone may not be seen."""
        if self._instant.at_ms is None:
            return ""
        return " RECORDING " if self._instant.recorded is not None else " THE PAST · l is live "

    def _label(self) -> Line:
        pointed = self._pointed
        line: Line = [
            Run(" ", Tone.MUTED),
            Run(self.subject, Tone.TEXT),
            Run(f" · {self._instant.window_name} ", Tone.MUTED),
        ]
        if pointed is not None:
            columns = self.columns
            column = columns.column_at(pointed)
            value = self.track.values(columns)[column] if column is not None else None
            shown = "–" if value is None else f"{value * 100:.0f}%"
            when = describe_instant(pointed, self._instant.now_ms())
            line += [Run("· ", Tone.MUTED), Run(f"{when} {shown} ", Tone.ACCENT)]
        return line


def _edge_time(at_ms: int, columns: Columns) -> str:
    text = describe_instant(at_ms, at_ms)
    return text[:5] if columns.step_ms * columns.length <= 86_400_000 else _day(at_ms)


def _day(at_ms: int) -> str:
    return describe_instant(at_ms, 0).split(" ")[0][5:] if at_ms else ""


def _join(cells: list[Run]) -> Line:
    joined: Line = []
    for cell in cells:
        if joined and joined[-1].tone is cell.tone:
            joined[-1] = Run(joined[-1].text + cell.text, cell.tone)
        else:
            joined.append(cell)
    return joined
