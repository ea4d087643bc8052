"""The details of one process over the host screen. They stay up to date while the process lives."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.scroll_view import ScrollView
from textual.strip import Strip

from cybercorp.tui.state.host_panels import Canvas, PanelText
from cybercorp.tui.state.lines import Line, Run, Tone, fit
from cybercorp.tui.state.processes import ProcessModel
from cybercorp.tui.state.processes_activity import ProcessKey
from cybercorp.tui.state.processes_details import process_details, process_title
from cybercorp.tui.widgets.glyphs import wants_ascii
from cybercorp.tui.widgets.palette import palette_of
from cybercorp.tui.widgets.panel import Panel, strip_of


class _Text(ScrollView, can_focus=True):
    """Lines that scroll."""

    ALLOW_SELECT: ClassVar[bool] = False
    DEFAULT_CSS = """
    _Text { overflow-x: hidden; scrollbar-size-vertical: 1; background: $surface; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    def show(self, lines: list[Line]) -> None:
        if lines != self.lines:
            self.lines = lines
            self.virtual_size = Size(self.size.width, len(lines))
            self.refresh()

    def render_line(self, y: int) -> Strip:
        row = y + self.scroll_offset.y
        line = self.lines[row] if row < len(self.lines) else []
        plain = wants_ascii(self.app)
        return strip_of(fit(line, self.size.width, ascii=plain), palette_of(self), plain)


class ProcessDetails(ModalScreen[None]):
    """A popup for the process `key` of `model`; its owner calls `renew` when a newer table has come."""

    DEFAULT_CSS = """
    ProcessDetails { align: center middle; background: $background 60%; }
    ProcessDetails Panel { background: $surface; width: 84; max-width: 96%; height: 32; max-height: 92%; }
    ProcessDetails _Text { margin: 1 2; width: 1fr; height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "close", "close"),
    ]

    def __init__(self, model: ProcessModel, key: ProcessKey, *, cores: int) -> None:
        super().__init__()
        self.model = model
        self.key = key
        self.cores = cores
        self.gone = False
        row = model.find(key)
        self._title = process_title(model, row) if row is not None else f"{key[0]}"
        self._frame = _Frame(self._describe)
        self._text = _Text()

    def compose(self) -> ComposeResult:
        with self._frame:
            yield self._text

    def on_mount(self) -> None:
        self._text.focus()
        self.call_after_refresh(self.renew)

    def on_resize(self) -> None:
        self.call_after_refresh(self.renew)

    def renew(self) -> None:
        """Show the newest numbers; when the process has ended, keep the last ones and say so."""
        row = self.model.find(self.key)
        self.gone = row is None
        if row is not None and self._text.size.width:
            self._text.show(
                process_details(
                    self.model, row, self._text.size.width - 1, cores=self.cores, ascii=wants_ascii(self.app)
                )
            )
        self._frame.renew()

    def action_close(self) -> None:
        self.dismiss(None)

    def on_click(self, event: events.Click) -> None:
        if event.widget is self:
            self.dismiss(None)

    def _describe(self, canvas: Canvas) -> PanelText:
        note = [Run("ended", Tone.WARNING)] if self.gone else [Run("esc", Tone.ACCENT), Run(" back", Tone.MUTED)]
        return PanelText([Run(self._title, Tone.TITLE)], [], note)


class _Frame(Panel):
    """A panel around other widgets."""
