"""The process table: formats only the rows on the screen; its cursor follows the selected process."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from cybercorp.protocol.processes import ProcessTable
from cybercorp.tui.state.lines import Line, Run, Tone, fit
from cybercorp.tui.state.processes import ProcessModel
from cybercorp.tui.state.processes_order import ProcessSort
from cybercorp.tui.state.processes_rows import (
    MARK,
    ColumnUnits,
    ProcessColumns,
    columns_for,
    header_line,
    row_line,
)
from cybercorp.tui.widgets.glyphs import to_ascii, wants_ascii
from cybercorp.tui.widgets.palette import background_of, palette_of

_CYCLE = (
    ProcessSort.PID,
    ProcessSort.USER,
    ProcessSort.COMMAND,
    ProcessSort.CPU,
    ProcessSort.MEMORY,
    ProcessSort.THREADS,
    ProcessSort.READ,
    ProcessSort.WRITE,
    ProcessSort.STARTED,
)
_HEADER = 1


class ProcessTableView(ScrollView, can_focus=True):
    """Header and rows of a `ProcessModel`. Tells its owner of changes by messages; the owner feeds it with `show`."""

    ALLOW_SELECT: ClassVar[bool] = False
    ALLOW_MAXIMIZE = False
    DEFAULT_CSS = """
    ProcessTableView { overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "up", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "edge(-1)", "first", show=False),
        Binding("end", "edge(1)", "last", show=False),
        Binding("left", "fold(True)", "fold", show=False),
        Binding("right", "fold(False)", "unfold", show=False),
    ]

    class Changed(Message):
        """Order, filter, tree or selection changed: the title says so."""

    class Opened(Message):
        """The details of the selected process are wanted."""

    def __init__(self, model: ProcessModel, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model = model
        self._units = ColumnUnits()
        self._columns: ProcessColumns = columns_for(model, 80, self._units)
        self._now = dt.datetime.now().astimezone()
        self._lines: dict[int, Line] = {}
        self._hover: int | None = None
        self._notice = ""
        self._screen: dict[int, tuple[Line, str]] = {}

    # what comes in

    def show(self, table: ProcessTable, *, live: bool) -> None:
        """Show a newer table. The selected process stays where it is on the screen, as far as the list allows."""
        before = self._screen_row()
        self.model.show(table, live=live)
        with contextlib.suppress(ValueError, OverflowError, OSError):  # the host's clock may say anything
            self._now = dt.datetime.fromtimestamp(table.timestamp_ms / 1000).astimezone()
        self._after_change(keep_row=before)

    def rearranged(self) -> None:
        """The model was told to sort, filter or fold: draw it and bring the selection into view."""
        self._after_change(keep_row=None)
        self.post_message(self.Changed())

    def say(self, notice: str) -> None:
        """What stands in the table while there is no row: that it loads, that nothing matches."""
        if notice != self._notice:
            self._notice = notice
            self._refresh_changed()

    @property
    def page_rows(self) -> int:
        """Rows that fit below the header."""
        return max(self.size.height - _HEADER, 1)

    @property
    def room(self) -> int:
        """Cells across, without the scrollbar."""
        return max(self.scrollable_content_region.width, 20)

    # actions

    def action_move(self, step: int) -> None:
        self._select((self.model.selected_index or 0) + step)

    def action_page(self, pages: int) -> None:
        self._select((self.model.selected_index or 0) + pages * max(self.page_rows - 1, 1))

    def action_edge(self, side: int) -> None:
        if side < 0:
            self.model.release()
            self._after_change(keep_row=None)
            self.post_message(self.Changed())
        else:
            self._select(len(self.model.rows) - 1)

    def action_open(self) -> None:
        index = self.model.selected_index
        if index is not None:
            self.model.select(index)
            self.post_message(self.Opened())

    def action_fold(self, fold: bool) -> None:
        index = self.model.selected_index
        if index is None or not self.model.tree:
            return
        if self.model.toggle_collapsed(index, collapse=fold) or (fold and self.model.select_parent()):
            self.rearranged()

    def action_sort(self, name: str) -> None:
        self.model.sort_by(ProcessSort(name))
        self.rearranged()

    def action_sort_next(self, step: int) -> None:
        """Sort by the next shown column to the right or to the left."""
        shown = {one.spec.sort for one in self._columns.placed}
        cycle = [one for one in _CYCLE if one in shown]
        current = cycle.index(self.model.sort) if self.model.sort in cycle else 0
        self.model.sort_by(cycle[(current + step) % len(cycle)])
        self.rearranged()

    def action_tree(self) -> None:
        self.model.toggle_tree()
        self.rearranged()

    # events

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, lambda _: self._redraw())

    def on_resize(self) -> None:
        self._after_change(keep_row=None)

    def on_focus(self) -> None:
        self._redraw()

    def on_blur(self) -> None:
        self._redraw()

    def on_click(self, event: events.Click) -> None:
        event.stop()
        if event.y < _HEADER:
            column = self._columns.at(event.x)
            if column is not None and column.spec.sort is not None:
                self.model.sort_by(column.spec.sort)
                self.rearranged()
            return
        index = event.y - _HEADER + self.scroll_offset.y
        if index >= len(self.model.rows):
            return
        already = self.model.selected is not None and self.model.selected_index == index
        self._select(index)
        if self.model.tree and self._on_mark(index, event.x) and self.model.toggle_collapsed(index):
            self.rearranged()
        elif already or event.chain >= 2:
            self.post_message(self.Opened())

    def on_mouse_move(self, event: events.MouseMove) -> None:
        index = event.y - _HEADER + self.scroll_offset.y if event.y >= _HEADER else None
        self._set_hover(index if index is not None and index < len(self.model.rows) else None)

    def on_leave(self) -> None:
        self._set_hover(None)

    # drawing

    def render_line(self, y: int) -> Strip:
        drawn = self._screen[y] = self._screen_line(y)
        return self._strip(*drawn)

    def _screen_line(self, y: int) -> tuple[Line, str]:
        """Line `y` of the screen and how its whole row is marked."""
        if y < _HEADER:
            return header_line(self.model, self._columns, ascii=wants_ascii(self.app)), ""
        index = y - _HEADER + self.scroll_offset.y
        if index >= len(self.model.rows):
            if self.model.rows or y != _HEADER + 1:
                return [], ""
            return [Run("  "), Run(self._notice, Tone.MUTED)], ""
        line = self._lines.get(index)
        if line is None:
            line = self._lines[index] = row_line(
                self.model, index, self._columns, now=self._now, ascii=wants_ascii(self.app)
            )
        if index == self.model.selected_index:
            return [Run("▌ ", Tone.FOCUS), *line], "selected" if self.has_focus else "marked"
        return [Run(" " * MARK), *line], "hover" if index == self._hover else ""

    def _strip(self, line: Line, mark: str) -> Strip:
        plain = wants_ascii(self.app)
        palette = palette_of(self)
        over: Style | None = None
        if mark == "selected":
            over = background_of(self, "primary-muted") or Style(reverse=True)
        elif mark == "marked":
            over = background_of(self, "block-cursor-blurred-background")
        elif mark == "hover":
            over = background_of(self, "block-hover-background")
        segments = []
        for text, tone in fit(line, self.room, ascii=plain):
            style = palette[tone] if over is None else palette[tone] + over
            segments.append(Segment(to_ascii(text) if plain else text, style))
        return Strip(segments, self.room)

    # inside

    def _select(self, index: int) -> None:
        self.model.select(index)
        self._reveal()
        self._refresh_changed()
        self.post_message(self.Changed())

    def _screen_row(self) -> int | None:
        """Where on the screen the selected process stands; None when none is selected or it is not visible."""
        index = self.model.selected_index
        if self.model.selected is None or index is None:
            return None
        row = index - self.scroll_offset.y
        return row if 0 <= row < self.page_rows else None

    def _after_change(self, *, keep_row: int | None) -> None:
        self._columns = columns_for(self.model, self.room, self._units)
        self._lines.clear()
        size = Size(self.room, len(self.model.rows) + _HEADER)
        if size != self.virtual_size:
            self.virtual_size = size
        index = self.model.selected_index
        if keep_row is not None and index is not None:
            self._scroll_rows(index - keep_row)
        elif keep_row is None:
            self._reveal()
        self._refresh_changed()

    def _reveal(self) -> None:
        index = self.model.selected_index
        if index is None:
            return
        top = self.scroll_offset.y
        if index < top:
            self._scroll_rows(index)
        elif index >= top + self.page_rows:
            self._scroll_rows(index - self.page_rows + 1)

    def _scroll_rows(self, top: int) -> None:
        self.scroll_to(y=max(top, 0), animate=False, immediate=True)

    def _redraw(self) -> None:
        self._lines.clear()
        self._screen.clear()
        self.refresh()

    def _refresh_changed(self) -> None:
        """Refresh the lines of the screen that differ from what was drawn last."""
        width = self.size.width
        changed = [y for y in range(self.size.height) if self._screen_line(y) != self._screen.get(y)]
        if changed:
            self.refresh(*(Region(0, y, width, 1) for y in changed))

    def _set_hover(self, index: int | None) -> None:
        if index == self._hover:
            return
        self._hover = index
        self._refresh_changed()

    def _on_mark(self, index: int, x: int) -> bool:
        """Whether a click hit the fold mark of a tree row."""
        column = next((one for one in self._columns.placed if one.spec.name == "command"), None)
        if column is None or not self.model.tree_rows[index].children:
            return False
        depth = min(self.model.tree_rows[index].depth, 12)
        start = column.x + (2 * depth - 1 if depth else 0)
        return start <= x <= start + 1
