"""The dialog that jumps to a time: an expression, checked where it is typed."""

from __future__ import annotations

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from cybercorp.core.errors import TimeExpressionError
from cybercorp.tui.screens.dialog import Dialog
from cybercorp.tui.state.instant import InstantModel, describe_instant

_EXAMPLES = "14:30 · 3m ago · 2h · yesterday 03:00 · 2026-11-23T03:12 · now"


class JumpDialog(Dialog[bool]):
    """Dismissed with True when the instant changed."""

    DEFAULT_CSS = """
    JumpDialog > Vertical { width: 68; height: auto; background: $surface; border: round $primary; padding: 1 2; }
    JumpDialog Input, JumpDialog Input:focus { border: none; height: 1; padding: 0 1; background: $panel; margin: 1 0; }
    JumpDialog #error { color: $text-error; height: auto; }
    JumpDialog #examples { color: $text-muted; }
    """

    def __init__(self, instant: InstantModel) -> None:
        super().__init__()
        self._instant = instant

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "Jump to a time"
            box.border_subtitle = "enter goes there · esc cancels"
            yield Static(Text(self._standing()))
            yield Input(placeholder="3m ago", id="expression")
            yield Static(Text(""), id="error")
            yield Static(Text(_EXAMPLES), id="examples")

    def _standing(self) -> str:
        at_ms, now = self._instant.at_ms, self._instant.now_ms()
        if at_ms is None:
            return f"It is {describe_instant(now, now)}, and what you see is live."
        return f"You see {describe_instant(at_ms, now)}. It is {describe_instant(now, now)}."

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if not text:
            self.dismiss(False)
            return
        try:
            changed = self._instant.jump(text)
        except TimeExpressionError as error:
            self.query_one("#error", Static).update(Text(f"✖ {error.message} {error.hint}"))
            return
        self.dismiss(changed)

    @on(Input.Changed)
    def _typed(self) -> None:
        self.query_one("#error", Static).update(Text(""))
