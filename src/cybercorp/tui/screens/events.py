"""Events: what happened, as it happens and back to the beginning of the log."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical

from cybercorp.client.inbox import Update
from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.events import Event
from cybercorp.protocol.live import EventsUpdate, Subscribed
from cybercorp.security.display import safe_text
from cybercorp.tui.actions import Place, bindings_of
from cybercorp.tui.clients import FleetClient
from cybercorp.tui.screens.dashboard import DashboardScreen
from cybercorp.tui.screens.event_details import EventDialog
from cybercorp.tui.state.events import EVENT_WORDS, EventsModel, EventWords
from cybercorp.tui.state.instant import describe_instant
from cybercorp.tui.state.lines import Line, Run, Tone
from cybercorp.tui.widgets.action_line import ActionLine, Hot
from cybercorp.tui.widgets.events_list import EventsList
from cybercorp.tui.widgets.filter_line import FilterLine
from cybercorp.tui.widgets.line_list import LineList
from cybercorp.tui.widgets.placard import Placard

PAGE = 200
_MOST_PAGES = 25  # pages read at once to find what a filter means


class EventsLine(ActionLine):
    """Filter and order; both can be clicked."""

    def __init__(self, model: EventsModel) -> None:
        super().__init__()
        self._model = model
        self.searching = False

    def describe(self, width: int) -> list[Hot]:
        model = self._model
        shown = safe_text(model.filter_text, 60) or "none"
        left = [
            Hot(Run(" filter ", Tone.MUTED), "filter"),
            Hot(Run(shown, Tone.ACCENT if model.filter_text else Tone.MUTED), "filter"),
        ]
        if model.filter_text:
            more = "" if model.complete else " so far"
            left.append(Hot(Run(f"  {model.count:,} of {model.loaded:,}{more}", Tone.MUTED)))
        if self.searching:
            left.append(Hot(Run("  reading older events…", Tone.MUTED)))
        order = "newest first" if model.newest_first else "oldest first"
        right = [Hot(Run(f"{order} ", Tone.TEXT), "order")]
        used = sum(len(part.run.text) for part in (*left, *right))
        return [*left, Hot(Run(" " * max(width - used, 1))), *right]


class EventsScreen(DashboardScreen):
    """Live events come to every screen in front; what is older is read page by page."""

    PLACE = Place.EVENTS
    WORDS: ClassVar[EventWords] = EVENT_WORDS
    FILTER_HINT: ClassVar[str] = "kind=host.*  host=web-1  severity=error  or any word"
    NOUN: ClassVar[str] = "events"
    NOTHING: ClassVar[tuple[str, str]] = ("Nothing has happened yet", "Hosts that join, leave or fail are told here.")
    BINDINGS: ClassVar[list[BindingType]] = bindings_of(Place.EVENTS)
    AUTO_FOCUS = "EventsList"
    DEFAULT_CSS = """
    EventsScreen #events { height: 1fr; }
    EventsScreen #events Placard { display: none; }
    EventsScreen #events.-bare EventsList { display: none; }
    EventsScreen #events.-bare Placard { display: block; }
    EventsScreen #events.-filtering EventsLine { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.model = EventsModel(self.WORDS)
        self.list = EventsList(self.model)
        self._line = EventsLine(self.model)
        self._filter = FilterLine(self.FILTER_HINT)
        self._placard = Placard()
        self._problem = ""

    def compose_body(self) -> ComposeResult:
        with Vertical(id="events", classes="body -bare"):
            yield self._line
            yield self._filter
            yield self.list
            yield self._placard

    def on_mount(self) -> None:
        if self.session.instant.is_live:
            self.load_older()
        self.renew_list()

    # the contract of a dashboard screen

    def show_instant(self, at_ms: int | None) -> None:
        self.workers.cancel_group(self, "older")
        self.model.clear()
        self.load_older()
        self.renew_list()

    def take_update(self, update: Update) -> None:
        super().take_update(update)
        if not self.session.instant.is_live:
            return
        if isinstance(update, EventsUpdate) and self.model.known:
            moved = self.model.add(update.events)
            if moved > 0 and self.model.selected is not None:
                self.list.show_from(self.list.top_row + moved)
            self.renew_list()
        elif isinstance(update, Subscribed) and not update.resumed:
            self.show_instant(None)

    def connection_changed(self) -> None:
        super().connection_changed()
        if self.session.connection.is_open and not self.model.known:
            self.load_older()
        self.renew_list()

    def about(self, width: int) -> Line:
        at_ms = self.session.instant.at_ms
        until = "" if at_ms is None else f" until {describe_instant(at_ms, self.session.instant.now_ms())}"
        return [Run(self.NOUN.capitalize(), Tone.TITLE), Run(until, Tone.MUTED)]

    @property
    def catching_up(self) -> bool:
        return self._line.searching

    def step_back(self) -> bool:
        if not self.model.filter_text:
            return False
        self._filter_by("")
        return True

    # actions

    def action_open_event(self) -> None:
        row = self.model.selected_row
        if row is not None:
            self.app.push_screen(EventDialog(row, self.session.instant.now_ms(), self.WORDS), self._details_closed)

    def action_go_to_event(self) -> None:
        row = self.model.selected_row
        if row is not None:
            self.go_to(row.time_ms)

    def action_filter(self) -> None:
        self.query_one("#events").add_class("-filtering")
        self._filter.open(self.model.filter_text)

    def action_order(self) -> None:
        self.model.turn()
        self.list.reveal(self.model.cursor)
        self.renew_list()

    # messages

    @on(EventsList.NearEnd)
    def _near_end(self, event: EventsList.NearEnd) -> None:
        event.stop()
        if self.model.known and not self.model.complete and not self._line.searching:
            self.load_older()

    @on(LineList.Opened)
    def _opened(self, event: LineList.Opened) -> None:
        event.stop()
        self.action_open_event()

    @on(FilterLine.Changed)
    def _filter_changed(self, event: FilterLine.Changed) -> None:
        event.stop()
        self._filter_by(event.text)

    @on(FilterLine.Closed)
    def _filter_closed(self, event: FilterLine.Closed) -> None:
        event.stop()
        self.query_one("#events").remove_class("-filtering")
        self.list.focus()
        self._line.renew()

    # inside

    def _details_closed(self, at_ms: int | None) -> None:
        if at_ms is not None:
            self.go_to(at_ms)

    def _filter_by(self, text: str) -> None:
        self.model.filter_by(text)
        self.list.reveal(self.model.cursor)
        self.renew_list()
        if self.model.count < self.list.page_rows and self.model.known and not self.model.complete:
            self.load_older()

    @work(exclusive=True, group="older")
    async def load_older(self) -> None:
        """Read older pages until the list is longer than the screen, or there are none."""
        client = await self.session.ready()
        instant = self.session.instant
        wanted = self.model.count + self.list.page_rows
        self._line.searching = True
        try:
            for _ in range(_MOST_PAGES):
                until = None if instant.at_ms is None else instant.at_ms + 1
                found = await self.read(client, self.model.oldest_id, until)
                self._problem = ""
                self.model.complete = len(found) < PAGE
                self.model.add(found)
                self.renew_list()
                if self.model.complete or self.model.count >= wanted:
                    break
        except CyberCorpError as error:
            self._problem = safe_text(str(error), 300)
        finally:
            self._line.searching = False
            self.renew_list()

    async def read(self, client: FleetClient, before: int | None, until_ms: int | None) -> list[Event]:
        """The newest page before this id and this time."""
        page = await client.events.list(before=before, until_ms=until_ms, limit=PAGE, newest=True)
        return page.events

    def renew_list(self) -> None:
        """Draw what the model holds."""
        if not self.is_mounted:
            return
        model = self.model
        self.query_one("#events").set_class(model.count == 0, "-bare")
        if model.count == 0:
            self._say_why()
        self.list.now_ms = self.session.instant.now_ms()
        self.list.renew()
        self._line.renew()

    def _say_why(self) -> None:
        model, connection = self.model, self.session.connection
        if not model.known and (self._problem or not connection.is_open):
            reason = self._problem or connection.reason
            self._placard.say(
                f"✖ The {self.NOUN} cannot be read", reason, connection.hint, next_step="ctrl+r tries now"
            )
        elif not model.known or self._line.searching:
            self._placard.say(f"Reading the {self.NOUN}…")
        elif model.filter_text:
            self._placard.say(
                f"Nothing of the {self.NOUN} matches {safe_text(model.filter_text, 80)}",
                next_step="/ changes the filter · esc shows everything",
            )
        elif self.session.instant.is_live:
            self._placard.say(*self.NOTHING)
        else:
            self._placard.say("Nothing had happened by then", next_step="] goes on · l shows the present")
