"""What stands where a list would be while it has nothing to show: what is so, why, and what to do next."""

from __future__ import annotations

from rich.text import Text
from textual.widget import Widget


class Placard(Widget):
    """A title, sentences, and keys. Text is shown as it is."""

    DEFAULT_CSS = """
    Placard {
        width: 1fr; height: 1fr; content-align: center middle; text-align: center;
        color: $foreground; background: $background;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._said: tuple[str, tuple[str, ...], str] = ("", (), "")

    def say(self, title: str, *sentences: str, next_step: str = "") -> None:
        """Show these words."""
        said = (title, tuple(one for one in sentences if one), next_step)
        if said != self._said:
            self._said = said
            self.refresh()

    def render(self) -> Text:
        title, sentences, next_step = self._said
        text = Text(justify="center")
        text.append(title, style="bold")
        for sentence in sentences:
            text.append(f"\n{sentence}")
        if next_step:
            text.append(f"\n\n{next_step}", style="dim")
        return text
