"""The CPU panel: its chart answers the mouse with the instant under it."""

from __future__ import annotations

from textual import events
from textual.message import Message

from cybercorp.tui.state.host_cpu import cell_of, chart_area, cpu_panel, instant_at
from cybercorp.tui.state.host_panels import Canvas, PanelText
from cybercorp.tui.state.host_view import HostView, clock
from cybercorp.tui.widgets.panel import Panel


class CpuPanel(Panel):
    """Draws the metrics of `view`; posts `Pointed` for the instant under the mouse, `Chosen` for the one clicked."""

    class Pointed(Message):
        """The mouse points at an instant of the chart; None when it left."""

        def __init__(self, at_ms: int | None) -> None:
            super().__init__()
            self.at_ms = at_ms

    class Chosen(Message):
        """The instant was clicked: the whole screen shall show it."""

        def __init__(self, at_ms: int) -> None:
            super().__init__()
            self.at_ms = at_ms

    def __init__(self, view: HostView, *, number: int | None = None, id: str | None = None) -> None:
        super().__init__(self._describe, number=number, id=id)
        self.view = view
        self.cursor_ms: int | None = None

    def point(self, at_ms: int | None) -> None:
        """Mark an instant in the chart."""
        if at_ms != self.cursor_ms:
            self.cursor_ms = at_ms
            self.renew()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._pointed(self._instant(event))

    def on_leave(self) -> None:
        self._pointed(None)

    def on_click(self, event: events.Click) -> None:
        at_ms = self._instant(event)
        if at_ms is not None:
            event.stop()
            self.post_message(self.Chosen(at_ms))

    def _pointed(self, at_ms: int | None) -> None:
        if at_ms != self.cursor_ms:
            self.point(at_ms)
            self.post_message(self.Pointed(at_ms))

    def _instant(self, event: events.MouseEvent) -> int | None:
        canvas = self.canvas
        chart = chart_area(self.view.metrics, canvas)
        x, y = event.x - 2, event.y - 1
        if not chart.y <= y < chart.y + chart.height:
            return None
        return instant_at(self.view.metrics, chart, x, ascii=canvas.ascii)

    def _describe(self, canvas: Canvas) -> PanelText:
        metrics = self.view.metrics
        if self.cursor_ms is None or not metrics.known:
            return self.view.panel("cpu", canvas)
        cursor = cell_of(metrics, chart_area(metrics, canvas), self.cursor_ms, ascii=canvas.ascii)
        return cpu_panel(metrics, canvas, cursor=cursor, clock=clock(self.cursor_ms))
