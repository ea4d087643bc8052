"""The `?` screen: every key of the screen below, from the registry, with its mouse way."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from cybercorp.tui.actions import Place, actions_of, grouped, key_label
from cybercorp.tui.screens.dialog import Dialog

_KEYS, _TITLE = 12, 49
_WIDE = 110


class HelpScreen(Dialog[None]):
    """Closed by esc, ? or a click beside it."""

    DEFAULT_CSS = """
    HelpScreen > VerticalScroll {
        width: 108; max-width: 98%; height: auto; max-height: 92%; background: $surface; border: round $primary;
        padding: 0 2; scrollbar-size-vertical: 1;
    }
    HelpScreen Static { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "close", "Close", show=False),
    ]

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._place = place

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = f"Keys · {self._place.value}"
            box.border_subtitle = "esc closes"
            yield Static(help_text(self._place, wide=self.app.size.width >= _WIDE))


def help_text(place: Place, *, wide: bool = True) -> Text:
    """All actions of a screen by group: keys, what they do, how the mouse does it (below it where it is narrow)."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for group, actions in grouped(actions_of(place)).items():
        text.append(f"\n{group}\n", style="bold")
        for one in actions:
            keys = "  ".join(key_label(key) for key in one.keys)
            text.append(f"  {keys:<{_KEYS}}", style="bold")
            text.append(f"{one.title:<{_TITLE}}" if wide else f"{one.title}\n{'':{_KEYS + 2}}")
            text.append(f"{one.mouse}\n", style="dim")
    return text
