"""The event log as a list: draws an `EventsModel`."""

from __future__ import annotations

from textual.message import Message

from cybercorp.tui.state.events import EventsModel, head_line, row_line
from cybercorp.tui.state.lines import Line
from cybercorp.tui.widgets.glyphs import wants_ascii
from cybercorp.tui.widgets.line_list import LineList


class EventsList(LineList):
    """Tells when its end comes near, so that the next page can be read before it is reached."""

    class NearEnd(Message):
        """The oldest loaded events are almost visible."""

    def __init__(self, model: EventsModel) -> None:
        super().__init__()
        self.model = model
        self.now_ms = 0

    def count(self) -> int:
        return self.model.count

    def cursor(self) -> int | None:
        return self.model.cursor if self.model.count else None

    def head(self, width: int) -> Line:
        return head_line(self.model, width)

    def row(self, index: int, width: int) -> Line:
        return row_line(
            self.model.row(index),
            width,
            now_ms=self.now_ms,
            selected=index == self.model.cursor,
            ascii=wants_ascii(self.app),
        )

    def select(self, index: int) -> None:
        self.model.move_to(index)
        self.reveal(self.model.cursor)
        self.renew()
        self._look_ahead()

    def on_line_list_scrolled(self, event: LineList.Scrolled) -> None:
        event.stop()
        self.renew()
        self._look_ahead()

    def _look_ahead(self) -> None:
        rows_below = self.model.count - self.top_row - self.page_rows
        if (rows_below if self.model.newest_first else self.top_row) < self.page_rows:
            self.post_message(self.NearEnd())
