"""One line of text whose parts can be clicked: the header, the footer, the fleet's own line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from cybercorp.tui.state.lines import Line, Run, Tone, cut, fit, width_of
from cybercorp.tui.widgets.glyphs import wants_ascii
from cybercorp.tui.widgets.palette import palette_of
from cybercorp.tui.widgets.panel import strip_of


class Hot(NamedTuple):
    """A piece of the line, and the action that a click on it runs (`app.…` or one of the screen; empty: none)."""

    run: Run
    action: str = ""


def plain(line: Line) -> list[Hot]:
    """A line that nothing can be clicked in."""
    return [Hot(run) for run in line]


def fit_hot(parts: Sequence[Hot], width: int, *, ascii: bool = False) -> list[Hot]:
    """`parts` in exactly `width` cells, cut with an ellipsis or padded with blanks."""
    kept: list[Hot] = []
    room = width
    for part in parts:
        text = cut(part.run.text, room, ascii=ascii)
        if text:
            kept.append(Hot(Run(text, part.run.tone), part.action))
            room -= width_of(text)
        if text != part.run.text:
            break
    return [*kept, Hot(Run(" " * room))] if room > 0 else kept


class ActionLine(Widget):
    """Draws what `describe` says for its width. `renew` asks again and draws only when something differs."""

    DEFAULT_CSS = """
    ActionLine { height: 1; width: 1fr; }
    """
    ALLOW_SELECT: ClassVar[bool] = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._parts: list[Hot] = []
        self._hover: int | None = None

    def describe(self, width: int) -> list[Hot]:
        """The parts for this width; subclasses say them."""
        return []

    def renew(self) -> None:
        """Draw again where it differs."""
        if not self.is_attached or self.size.width < 1:
            return
        before = self._parts
        self._parts = fit_hot(self.describe(self.size.width), self.size.width, ascii=wants_ascii(self.app))
        if self._parts != before:
            start = _first_difference(before, self._parts)
            self.refresh(Region(start, 0, max(self.size.width - start, 1), 1))

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self.refresh())

    def on_resize(self) -> None:
        self._parts = []
        self.renew()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        if y or not self._parts:
            return Strip.blank(self.size.width, self.visual_style.rich_style)
        line = [Run(part.run.text, Tone.ACCENT if i == self._hover else part.run.tone) for i, part in self._numbered()]
        return strip_of(fit(line, self.size.width), palette_of(self), wants_ascii(self.app))

    async def on_click(self, event: events.Click) -> None:
        found = self._at(event.x)
        if found is not None and self._parts[found].action:
            event.stop()
            await self.screen.run_action(self._parts[found].action)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        found = self._at(event.x)
        self._set_hover(found if found is not None and self._parts[found].action else None)

    def on_leave(self) -> None:
        self._set_hover(None)

    def _numbered(self) -> list[tuple[int, Hot]]:
        return list(enumerate(self._parts))

    def _at(self, x: int) -> int | None:
        at = 0
        for index, part in self._numbered():
            at += width_of(part.run.text)
            if x < at:
                return index
        return None

    def _set_hover(self, hover: int | None) -> None:
        if hover != self._hover:
            self._hover = hover
            self.refresh()


def _first_difference(before: Sequence[Hot], after: Sequence[Hot]) -> int:
    """The first cell where two lines may differ."""
    x = 0
    for old, new in zip(before, after, strict=False):
        if old != new:
            return x
        x += width_of(new.run.text)
    return x if before else 0
