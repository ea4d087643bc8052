"""The line where a filter is typed: applied while typing, with what is wrong about it beside it."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static


class FilterInput(Input):
    """A text field of one line; esc gives up."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "Clear", show=False)]

    class GivenUp(Message):
        """Esc: no filter."""

    def action_give_up(self) -> None:
        self.post_message(self.GivenUp())


class FilterLine(Horizontal):
    """Hidden until `open`. Posts `Changed` while typing and `Closed` at its end."""

    DEFAULT_CSS = """
    FilterLine { height: 1; width: 1fr; display: none; background: $panel; }
    FilterLine.-open { display: block; }
    FilterLine FilterInput, FilterLine FilterInput:focus {
        border: none; height: 1; width: 1fr; padding: 0; background: $panel;
    }
    FilterLine #sign { width: 3; color: $accent; }
    FilterLine #problem { width: auto; max-width: 60%; color: $text-error; padding: 0 1; }
    """

    class Changed(Message):
        """The filter is this now."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """The line is gone; the filter stays."""

    def __init__(self, placeholder: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._placeholder = placeholder

    @property
    def is_open(self) -> bool:
        return self.has_class("-open")

    def compose(self) -> ComposeResult:
        yield Static(Text(" / "), id="sign")
        yield FilterInput(placeholder=self._placeholder, select_on_focus=False)
        yield Static(Text(""), id="problem")

    def open(self, text: str) -> None:
        """Begin to type."""
        field = self.query_one(FilterInput)
        with self.prevent(Input.Changed):
            field.value = text
        self.add_class("-open")
        field.focus()
        field.cursor_position = len(text)

    def complain(self, problem: str) -> None:
        """Say what is wrong with what was typed; empty for nothing."""
        self.query_one("#problem", Static).update(
            Text(f"✖ {problem}" if problem else "", no_wrap=True, overflow="ellipsis")
        )

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(event.value))

    @on(Input.Submitted)
    def _kept(self, event: Input.Submitted) -> None:
        event.stop()
        self._close()

    @on(FilterInput.GivenUp)
    def _given_up(self, event: FilterInput.GivenUp) -> None:
        event.stop()
        self.complain("")
        self.post_message(self.Changed(""))
        self._close()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        if self.is_open:
            self._close()

    def _close(self) -> None:
        if self.is_open:
            self.remove_class("-open")
            self.post_message(self.Closed())
