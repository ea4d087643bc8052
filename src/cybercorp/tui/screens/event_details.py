"""Everything about one event."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from cybercorp.core.units import format_age
from cybercorp.tui.screens.dialog import Dialog
from cybercorp.tui.state.events import EVENT_WORDS, SEVERITIES, EventRow, EventWords
from cybercorp.tui.state.instant import describe_instant

_LABEL = 14


class EventDialog(Dialog[int]):
    """Dismissed with the instant to go to, or None."""

    DEFAULT_CSS = """
    EventDialog > VerticalScroll {
        width: 92; max-width: 96%; height: auto; max-height: 90%; background: $surface; border: round $primary;
        padding: 1 2; scrollbar-size-vertical: 1;
    }
    EventDialog Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "close", "Close", show=False),
        Binding("g", "go", "Go to the instant", show=False),
    ]

    def __init__(self, row: EventRow, now_ms: int, words: EventWords = EVENT_WORDS) -> None:
        super().__init__()
        self._words = words
        self._row = row
        self._now_ms = now_ms

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = self._words.title
            box.border_subtitle = "g goes to this instant · esc closes"
            yield Static(self._text())

    def action_go(self) -> None:
        self.dismiss(self._row.time_ms)

    def _text(self) -> Text:
        row = self._row
        glyph, _ = SEVERITIES[row.severity]
        age = format_age((self._now_ms - row.time_ms) / 1000)
        text = Text()
        text.append(f"{glyph} {row.message}\n\n", style="bold")
        lines = [
            ("when", f"{describe_instant(row.time_ms, self._now_ms)}  ({age})"),
            (self._words.labels[0], row.host or self._words.nobody),
            (self._words.labels[1], row.kind),
            ("severity", row.severity.value),
            ("number", f"{row.id}"),
            *row.attributes,
        ]
        for label, value in lines:
            text.append(f"{label:<{_LABEL}}", style="dim")
            text.append(f"{value}\n")
        return text
