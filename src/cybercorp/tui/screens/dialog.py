"""What every dialog does: `q` and ctrl+c still quit, a click beside it closes it like esc."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

ResultT = TypeVar("ResultT")


class Dialog(ModalScreen[ResultT]):
    """`action_close` dismisses it without a result."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", show=False),
        # The app's own keys do not reach through a dialog.
        Binding("q", "app.quit", "Quit", show=False),
    ]

    def action_close(self) -> None:
        self.dismiss(None)

    def on_click(self, event: events.Click) -> None:
        if self.get_widget_at(event.screen_x, event.screen_y)[0] is self:
            self.action_close()
