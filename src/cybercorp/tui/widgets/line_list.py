"""A long list drawn line by line: only visible lines are made, and only lines that changed reach the terminal.

Subclasses say how many rows there are and what a row looks like; they own the selection.
"""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBarRender
from textual.strip import Strip

from cybercorp.tui.state.lines import Line, fit
from cybercorp.tui.widgets.glyphs import wants_ascii
from cybercorp.tui.widgets.palette import background_of, palette_of
from cybercorp.tui.widgets.panel import strip_of

HEAD = 1


class PlainScrollBar(ScrollBarRender):
    """A scrollbar of backgrounds only: no block glyphs at its ends."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8


class LineList(ScrollView, can_focus=True):
    """A head that stays, rows below it. `renew()` after every change of what it shows."""

    ALLOW_SELECT: ClassVar[bool] = False
    ALLOW_MAXIMIZE = False
    DEFAULT_CSS = """
    LineList {
        height: 1fr; overflow-x: hidden; overflow-y: scroll; scrollbar-size-vertical: 1; scrollbar-gutter: stable;
        background: $background;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "up", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "edge(-1)", "first", show=False),
        Binding("end", "edge(1)", "last", show=False),
    ]

    class Opened(Message):
        """The row is to be opened: double click."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.row = row

    class Scrolled(Message):
        """Other rows are visible now."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawn: dict[int, tuple[Line, str]] = {}
        self._hover: int | None = None

    # what a subclass says

    def count(self) -> int:
        """How many rows there are."""
        return 0

    def head(self, width: int) -> Line:
        """The line above the rows."""
        return []

    def row(self, index: int, width: int) -> Line:
        """One row."""
        return []

    def cursor(self) -> int | None:
        """The selected row."""
        return None

    def select(self, index: int) -> None:
        """The person selects this row."""

    def opens_at_once(self, index: int) -> bool:
        """Whether one click opens this row."""
        return False

    def head_clicked(self, x: int) -> None:
        """The head was clicked."""

    def prepare(self, width: int) -> None:
        """Called once before the lines are made: the place for columns."""

    # what others use

    @property
    def page_rows(self) -> int:
        """Rows that fit below the head."""
        return max(self.size.height - HEAD, 1)

    @property
    def room(self) -> int:
        """Cells across, without the scrollbar."""
        return max(self.scrollable_content_region.width, 20)

    @property
    def top_row(self) -> int:
        """The first visible row."""
        return self.scroll_offset.y

    def renew(self) -> None:
        """Draw the visible lines again where they differ."""
        if not self.is_attached or self.size.height < 1:
            return
        size = Size(self.room, self.count() + HEAD)
        if size != self.virtual_size:
            self.virtual_size = size
        self.prepare(self.room)
        changed = [y for y in range(self.size.height) if self._line(y) != self._drawn.get(y)]
        if changed:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def reveal(self, index: int) -> None:
        """Scroll as little as is needed to show this row."""
        top = self.top_row
        if index < top:
            self.show_from(index)
        elif index >= top + self.page_rows:
            self.show_from(index - self.page_rows + 1)

    def show_from(self, top: int) -> None:
        """Scroll to this row."""
        self.scroll_to(y=max(top, 0), animate=False, force=True)

    # actions and events

    def action_move(self, step: int) -> None:
        self._go((self.cursor() or 0) + step)

    def action_page(self, pages: int) -> None:
        self._go((self.cursor() or 0) + pages * max(self.page_rows - 1, 1))

    def action_edge(self, side: int) -> None:
        self._go(0 if side < 0 else self.count() - 1)

    def on_mount(self) -> None:
        if wants_ascii(self.app):
            self.vertical_scrollbar.renderer = PlainScrollBar  # type: ignore[misc]  # documented way for one widget
        self.app.theme_changed_signal.subscribe(self, lambda _: self._redraw())

    def on_resize(self) -> None:
        self._drawn.clear()
        self.renew()
        self.post_message(self.Scrolled())

    def on_focus(self) -> None:
        self.renew()

    def on_blur(self) -> None:
        self.renew()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.post_message(self.Scrolled())

    def on_click(self, event: events.Click) -> None:
        event.stop()
        if event.y < HEAD:
            self.head_clicked(event.x)
            return
        index = self._index_at(event.y)
        if index is None:
            return
        self.select(index)
        if event.chain >= 2 or self.opens_at_once(index):
            self.post_message(self.Opened(index))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._set_hover(self._index_at(event.y))

    def on_leave(self) -> None:
        self._set_hover(None)

    def render_line(self, y: int) -> Strip:
        drawn = self._drawn[y] = self._line(y)
        line, mark = drawn
        ascii_only = wants_ascii(self.app)
        strip = strip_of(fit(line, self.room, ascii=ascii_only), palette_of(self), ascii_only)
        over = self._over(mark)
        if over is None:
            return strip
        return Strip(Segment.apply_style(strip, post_style=over), strip.cell_length)

    # inside

    def line_at(self, y: int) -> tuple[Line, str] | None:
        """What stands on line `y` of the screen instead of its row; None: the row."""
        return None

    def _index_at(self, y: int) -> int | None:
        index = y - HEAD + self.top_row
        return index if y >= HEAD and index < self.count() else None

    def _line(self, y: int) -> tuple[Line, str]:
        """A line of the screen, and how its whole row is marked."""
        if y < HEAD:
            return self.head(self.room), ""
        instead = self.line_at(y)
        if instead is not None:
            return instead
        index = y - HEAD + self.top_row
        if index >= self.count():
            return [], ""
        line = self.row(index, self.room)
        if index == self.cursor():
            return line, "selected" if self.has_focus else "marked"
        return line, "hover" if index == self._hover else ""

    def _over(self, mark: str) -> Style | None:
        if mark == "selected":
            return background_of(self, "primary-muted") or Style(reverse=True)
        if mark == "marked":
            return background_of(self, "surface")
        return background_of(self, "block-hover-background") if mark == "hover" else None

    def _go(self, index: int) -> None:
        if self.count():
            self.select(min(max(index, 0), self.count() - 1))

    def _set_hover(self, hover: int | None) -> None:
        if hover != self._hover:
            self._hover = hover
            self.renew()

    def _redraw(self) -> None:
        self._drawn.clear()
        self.refresh()
