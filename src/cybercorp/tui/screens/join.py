"""The dialog with the one command that joins another machine."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlsplit

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from cybercorp.core.units import format_seconds
from cybercorp.tui.screens.dialog import Dialog

_LOOPBACK = ("127.", "localhost", "::1", "[::1]")


class JoinDialog(Dialog[None]):
    """Shows the command, which is in the clipboard already; `c` copies it again."""

    DEFAULT_CSS = """
    JoinDialog > Vertical {
        width: 92; max-width: 96%; height: auto; background: $surface; border: round $primary; padding: 1 2;
    }
    JoinDialog Static { height: auto; margin-bottom: 1; }
    JoinDialog #command { background: $panel; padding: 1 2; }
    JoinDialog #hint { color: $text-warning; }
    JoinDialog #hint.-none { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "close", "Close", show=False),
        Binding("c", "copy", "Copy", show=False),
    ]

    def __init__(self, url: str, command: str, valid_ms: int) -> None:
        super().__init__()
        self._url = url
        self._command = command
        self._valid_ms = valid_ms

    def compose(self) -> ComposeResult:
        loopback = (urlsplit(self._url).hostname or "").startswith(_LOOPBACK)
        with Vertical() as box:
            box.border_title = "Add a host"
            box.border_subtitle = "c copies again · esc closes"
            yield Static(Text("Run this on the machine that shall join. It is in your clipboard."))
            # Wrapped anywhere: a command that is broken at blanks only would be cut by a narrow terminal.
            yield Static(Text(self._command, overflow="fold", style="bold"), id="command")
            yield Static(
                Text(
                    "This server listens on this machine only. For others, run it with: "
                    "cybercorp server run --listen 0.0.0.0"
                    if loopback
                    else ""
                ),
                id="hint",
                classes="" if loopback else "-none",
            )
            span = format_seconds(max(round(self._valid_ms / 60_000), 1) * 60)
            yield Static(Text(f"Good for one host within {span}. Its row appears by itself.", style="dim"))

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._command)
        self.notify("Copied.", markup=False, timeout=2)
