"""A panel with a chart over time. Its cursor, by mouse or arrow keys, asks who was busy at the instant under it."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from cybercorp.tui.state.host_charts import cell_of, instant_at, with_cursor
from cybercorp.tui.state.host_panels import Canvas, ChartArea, PanelText
from cybercorp.tui.state.host_view import HostView, clock
from cybercorp.tui.state.lines import Line, Run, Tone, heat
from cybercorp.tui.state.scales import percent
from cybercorp.tui.widgets.panel import Panel

_FAR = 10


class ChartPanel(Panel, can_focus=True):
    """Draws the panel `name` of `view`; posts `Pointed` for the instant under its cursor, `Chosen` to go there."""

    FOCUS_ON_CLICK: ClassVar[bool] = False  # a click goes to the instant; the keys stay with the processes
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "cursor(-1)", "earlier", show=False),
        Binding("right", "cursor(1)", "later", show=False),
        Binding("shift+left", f"cursor(-{_FAR})", "much earlier", show=False),
        Binding("shift+right", f"cursor({_FAR})", "much later", show=False),
        Binding("home", "edge(-1)", "the oldest", show=False),
        Binding("end", "edge(1)", "the newest", show=False),
        Binding("up", "select(-1)", "process above", show=False),
        Binding("down", "select(1)", "process below", show=False),
        Binding("enter", "choose", "go there", show=False),
    ]

    class Pointed(Message):
        """The cursor is on an instant of the chart; None when it left."""

        def __init__(self, panel: ChartPanel, at_ms: int | None) -> None:
            super().__init__()
            self.panel = panel
            self.at_ms = at_ms

        @property
        def control(self) -> ChartPanel:
            return self.panel

    class Chosen(Message):
        """The whole screen shall show this instant."""

        def __init__(self, at_ms: int) -> None:
            super().__init__()
            self.at_ms = at_ms

    class Selecting(Message):
        """Another process of the table under the cursor is wanted: so many rows further down."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self, view: HostView, name: str, *, number: int | None = None) -> None:
        super().__init__(self._describe, number=number, id=name)
        self.view = view
        self.name_of_panel = name
        self.cursor_ms: int | None = None
        self._chart: ChartArea | None = None

    @property
    def has_chart(self) -> bool:
        """Whether there is room for a chart now."""
        return bool(self.region) and self._chart is not None

    def point(self, at_ms: int | None) -> None:
        """Mark an instant in the chart."""
        if at_ms != self.cursor_ms:
            self.cursor_ms = at_ms
            self.renew()

    # keys

    def on_focus(self) -> None:
        self.light(True)
        if self.cursor_ms is None and self._chart is not None:
            self._go_to_cell(self._chart.x + self._chart.width - 1)

    def on_blur(self) -> None:
        self.light(False)
        self._pointed(None)

    def action_cursor(self, step: int) -> None:
        chart = self._chart
        if chart is None:
            return
        last = chart.x + chart.width - 1
        cell = last if self.cursor_ms is None else cell_of(self.view.metrics, chart, self.cursor_ms)
        self._go_to_cell(min(max((last if cell is None else cell) + step, chart.x), last))

    def action_edge(self, side: int) -> None:
        if self._chart is not None:
            self._go_to_cell(self._chart.x if side < 0 else self._chart.x + self._chart.width - 1)

    def action_select(self, step: int) -> None:
        self.post_message(self.Selecting(step))

    def action_choose(self) -> None:
        if self.cursor_ms is not None:
            self.post_message(self.Chosen(self.cursor_ms))

    # mouse

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._pointed(self._instant(event))

    def on_leave(self) -> None:
        if not self.has_focus:
            self._pointed(None)

    def on_click(self, event: events.Click) -> None:
        at_ms = self._instant(event)
        if at_ms is not None:
            event.stop()
            self.post_message(self.Chosen(at_ms))

    # inside

    def _go_to_cell(self, cell: int) -> None:
        if self._chart is not None:
            self._pointed(instant_at(self.view.metrics, self._chart, cell))

    def _pointed(self, at_ms: int | None) -> None:
        if at_ms != self.cursor_ms:
            self.point(at_ms)
            self.post_message(self.Pointed(self, at_ms))

    def _instant(self, event: events.MouseEvent) -> int | None:
        chart = self._chart
        x, y = event.x - 2, event.y - 1
        if chart is None or not chart.y <= y < chart.y + chart.height:
            return None
        return instant_at(self.view.metrics, chart, x)

    def _describe(self, canvas: Canvas) -> PanelText:
        metrics = self.view.metrics
        text = self.view.panel(self.name_of_panel, canvas)
        self._chart = text.chart if metrics.known else None
        if self.cursor_ms is None or self._chart is None:
            return text
        cell = cell_of(metrics, self._chart, self.cursor_ms)
        note: Line = [Run(clock(self.cursor_ms), Tone.ACCENT)]
        if self.name_of_panel == "cpu":
            there = metrics.highest_at(metrics.catalogue.cpu, self.cursor_ms, self._chart)
            note += [Run(" "), Run(percent(there), heat(there))]
        return with_cursor(text, cell, note, ascii=canvas.ascii)
