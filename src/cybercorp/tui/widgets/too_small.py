"""What a terminal shows that is too small for the dashboard: one clear sentence."""

from __future__ import annotations

from rich.text import Text
from textual.widget import Widget


class TooSmall(Widget):
    """Says which size is needed and which there is."""

    DEFAULT_CSS = """
    TooSmall { width: 1fr; height: 1fr; content-align: center middle; text-align: center; color: $foreground; }
    """

    def __init__(self, width: int, height: int) -> None:
        super().__init__()
        self._least = (width, height)

    def render(self) -> Text:
        width, height = self._least
        size = self.app.size
        return Text(
            f"CyberCorp needs {width}×{height}\n"
            f"this terminal is {size.width}×{size.height}\n\nenlarge it, or quit with q",
            justify="center",
        )

    def on_resize(self) -> None:
        self.refresh()
