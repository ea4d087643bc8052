"""The fleet as a table: draws a `FleetModel`, and tells its screen what the person wants."""

from __future__ import annotations

from textual.message import Message

from cybercorp.protocol.hosts import HostSort
from cybercorp.tui.state.fleet import FleetModel
from cybercorp.tui.state.fleet_columns import (
    FleetColumns,
    FleetLayout,
    absent_line,
    head_line,
    row_line,
)
from cybercorp.tui.state.lines import Line, Run, Tone
from cybercorp.tui.widgets.glyphs import wants_ascii
from cybercorp.tui.widgets.line_list import HEAD, LineList


class FleetTable(LineList):
    """`stale` draws it as an old picture; `now_ms` is the present of what it shows."""

    class Moved(Message):
        """Another host is selected, or other rows are visible: other data may be wanted."""

    class SortChosen(Message):
        """A column's head was clicked."""

        def __init__(self, sort: HostSort) -> None:
            super().__init__()
            self.sort = sort

    def __init__(self, model: FleetModel, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.model = model
        self.stale = False
        self.now_ms = 0
        self.invitation = "press c for the command that joins one"
        self._layout_of = FleetLayout()
        self._columns: FleetColumns | None = None

    def count(self) -> int:
        return self.model.total + self.model.may_add if self.model.known else 0

    def cursor(self) -> int | None:
        return self.model.cursor if self.model.known else None

    def prepare(self, width: int) -> None:
        self._columns = self._layout_of.columns(self.model, width)

    def head(self, width: int) -> Line:
        return head_line(self.model, self._placed(width)) if self.model.known else []

    def row(self, index: int, width: int) -> Line:
        model = self.model
        selected = index == model.cursor
        if index >= model.total:
            return _add_line(self.invitation, selected=selected)
        row = model.rows.get(index)
        if row is None:
            return absent_line(self._placed(width), ascii=wants_ascii(self.app))
        return row_line(
            row,
            self._placed(width),
            now_ms=self.now_ms,
            selected=selected,
            stale=self.stale,
            ascii=wants_ascii(self.app),
        )

    def line_at(self, y: int) -> tuple[Line, str] | None:
        """The chosen host's line stands at the edge while a new order has carried it out of sight."""
        model = self.model
        above = model.cursor < model.top
        if y != (HEAD if above else self.size.height - 1) or not model.known:
            return None
        stray = model.stray
        if stray is None:
            return None
        line = row_line(
            stray,
            self._placed(self.room),
            now_ms=self.now_ms,
            stale=self.stale,
            ascii=wants_ascii(self.app),
        )
        return [Run("↑" if above else "↓", Tone.FOCUS), *line[1:]], "selected" if self.has_focus else "marked"

    def select(self, index: int) -> None:
        self.model.height = self.page_rows
        self.model.top = self.top_row
        self.model.move_to(index)
        if self.model.top != self.top_row:
            self.show_from(self.model.top)
        self.renew()
        self.post_message(self.Moved())

    def opens_at_once(self, index: int) -> bool:
        return self.model.may_add and index == self.model.total  # the line that adds a host is a button

    def head_clicked(self, x: int) -> None:
        column = self._placed(self.room).at(x)
        if column is not None and column.spec.sort is not None:
            self.post_message(self.SortChosen(column.spec.sort))

    def on_line_list_scrolled(self, event: LineList.Scrolled) -> None:
        event.stop()
        self.model.height = self.page_rows
        if self.model.known:
            self.model.scroll_to(self.top_row)
        self.renew()
        self.post_message(self.Moved())

    def _placed(self, width: int) -> FleetColumns:
        if self._columns is None:
            self.prepare(width)
        assert self._columns is not None
        return self._columns


def _add_line(invitation: str, *, selected: bool) -> Line:
    return [
        Run("▌" if selected else " ", Tone.FOCUS),
        Run(" "),
        Run("+ add a host", Tone.ACCENT),
        Run(f"   {invitation}", Tone.MUTED),
    ]
