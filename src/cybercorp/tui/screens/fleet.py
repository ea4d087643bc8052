"""The fleet: one row per host, now or at a past instant."""

from __future__ import annotations

from typing import ClassVar, Protocol, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.timer import Timer

from cybercorp.client.agents import address_of, join_command
from cybercorp.client.inbox import Update
from cybercorp.core.errors import CyberCorpError, InvalidInputError
from cybercorp.protocol.hosts import HostSort
from cybercorp.protocol.live import HostsUpdate
from cybercorp.protocol.problems import Problem
from cybercorp.security.display import safe_text
from cybercorp.tui.actions import Place, bindings_of
from cybercorp.tui.conflation import Newest
from cybercorp.tui.screens.dashboard import DashboardScreen
from cybercorp.tui.screens.join import JoinDialog
from cybercorp.tui.state.fleet import FleetModel, next_sort
from cybercorp.tui.state.fleet_texts import counts_line, placard_of
from cybercorp.tui.state.lines import Line, Run, Tone, line_width
from cybercorp.tui.widgets.filter_line import FilterLine
from cybercorp.tui.widgets.fleet_line import FleetLine
from cybercorp.tui.widgets.fleet_table import FleetTable
from cybercorp.tui.widgets.line_list import LineList
from cybercorp.tui.widgets.placard import Placard

_HOSTS = "hosts"
_PATIENCE_S = 0.3  # after this the picture of another instant is drawn as the old one that it is
_SETTLE_S = 0.15  # a held arrow key pins the host where it rests, a typed filter is sent when the typing rests


class Opener(Protocol):
    """The app, as this screen sees it."""

    def open_host(self, host_id: str) -> None: ...


class FleetScreen(DashboardScreen):
    """Subscribes only to the rows that are visible, and asks the store for them at a past instant."""

    PLACE = Place.FLEET
    BINDINGS: ClassVar[list[BindingType]] = bindings_of(Place.FLEET)
    AUTO_FOCUS = "FleetTable"
    DEFAULT_CSS = """
    FleetScreen #fleet { height: 1fr; }
    FleetScreen #fleet Placard { display: none; }
    FleetScreen #fleet.-bare FleetTable { display: none; }
    FleetScreen #fleet.-bare Placard { display: block; }
    FleetScreen #fleet.-filtering FleetLine { display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.model = FleetModel()
        self.table = FleetTable(self.model)
        self._line = FleetLine(self.model)
        self._placard = Placard()
        self._filter = FilterLine("web-*  env=prod  cpu>80  state=offline")
        self._heard_at: float | None = None
        self._settling: Timer | None = None
        self._settled = False
        self._past = Newest(self._load_past)
        self._past_problem = ""
        self._waiting_since: float | None = None  # another instant was chosen, and its picture is not here yet

    def compose_body(self) -> ComposeResult:
        with Vertical(id="fleet", classes="body -bare"):
            yield self._line
            yield self._filter
            yield self.table
            yield self._placard

    def on_mount(self) -> None:
        self.model.may_add = self.session.instant.recorded is None
        self.ask()
        self._show()

    # the contract of a dashboard screen

    def show_instant(self, at_ms: int | None) -> None:
        self._settled = self._settled or self.model.known
        self._waiting_since = self._waiting_since or self.session.clock.monotonic()
        self._past_problem = ""
        if at_ms is None:
            self._past.forget()
        else:
            self.session.connection.expects_updates = False  # the past is asked for, not followed
        self._want()

    def take_update(self, update: Update) -> None:
        super().take_update(update)
        if isinstance(update, HostsUpdate) and self.session.instant.is_live:
            connection = self.session.connection
            connection.expects_updates = update.window.counts.online > 0
            self._heard_at = self.session.clock.monotonic()
            self.model.take(update.window)
            self._waiting_since = None
            self._show()
            self._open_only_host()
        elif isinstance(update, Problem):
            self.model.problem = safe_text(f"{update.detail} {update.hint}", 200)
            self._filter.complain(self.model.problem)
            self._show()

    def connection_changed(self) -> None:
        super().connection_changed()
        if self.session.connection.is_open and not self.session.instant.is_live:
            self._want()
        self._show()

    def about(self, width: int) -> Line:
        line = counts_line(self.model.counts, width) if self.model.known else []
        server = [Run(self.dashboard.server_name, Tone.MUTED)]
        gap = [Run("   ")] if line else []
        return [*server, *gap, *line] if line_width([*server, *gap, *line]) <= width else line

    @property
    def catching_up(self) -> bool:
        return self._waiting_since is not None

    def tick(self) -> None:
        super().tick()
        self._show()

    def step_back(self) -> bool:
        if not self._line.typed:
            return False
        self._filter_by("")
        return True

    # actions

    def action_open_host(self) -> None:
        row = self.model.selected_row
        if self.model.on_add:
            self.action_add_host()
        elif row is not None:
            self._settled = True
            cast(Opener, self.app).open_host(row.id)

    def action_filter(self) -> None:
        self.query_one("#fleet").add_class("-filtering")
        self._filter.open(self._line.typed)

    def action_sort(self) -> None:
        self._sort_by(next_sort(self.model.sort))

    def action_reverse(self) -> None:
        self._sort_by(self.model.sort)

    @work(exclusive=True, group="join")
    async def action_add_host(self) -> None:
        """Make a join command, show it and copy it."""
        if not self.model.may_add:
            self.notify("This is a recording: no host can join it.", markup=False)
            return
        client = await self.session.ready()
        try:
            enrolment = await client.agents.create_enrolment()
        except CyberCorpError as error:
            self.notify(str(error), title="No join command", severity="error", markup=False)
            return
        url = address_of(enrolment, client.url)
        command = join_command(url, enrolment.token, enrolment.pins)
        self.app.copy_to_clipboard(command)
        self.table.invitation = command
        self._show()
        self.app.push_screen(JoinDialog(url, command, enrolment.expires_at_ms - self.session.instant.now_ms()))

    # messages

    @on(FleetTable.Moved)
    def _moved(self, event: FleetTable.Moved) -> None:
        event.stop()
        if self.model.known:
            self._settled = self._settled or self.model.cursor > 0
        before = self.model.request()
        if before.offset != self._asked_offset or before.limit != self._asked_limit:
            self._want()
        else:
            self._want_soon()

    @on(FleetTable.SortChosen)
    def _sort_chosen(self, event: FleetTable.SortChosen) -> None:
        event.stop()
        self._sort_by(event.sort)

    @on(LineList.Opened)
    def _opened(self, event: LineList.Opened) -> None:
        event.stop()
        self.action_open_host()

    @on(FilterLine.Changed)
    def _filter_changed(self, event: FilterLine.Changed) -> None:
        event.stop()
        self._filter_by(event.text, soon=True)

    @on(FilterLine.Closed)
    def _filter_closed(self, event: FilterLine.Closed) -> None:
        event.stop()
        self.query_one("#fleet").remove_class("-filtering")
        self.table.focus()
        self._line.renew()

    # inside

    _asked_offset = -1
    _asked_limit = -1

    def _filter_by(self, text: str, *, soon: bool = False) -> None:
        self._line.typed = text.strip()
        try:
            self.model.filter_by(text)
        except InvalidInputError as error:
            self.model.problem = safe_text(f"{error.message} {error.hint}", 200)
            self._filter.complain(self.model.problem)
            self._line.renew()
            return
        self._filter.complain("")
        self.table.show_from(0)
        if soon:
            self._want_soon()
        else:
            self._want()
        self._show()

    def _sort_by(self, sort: HostSort) -> None:
        """Another order, seen from its beginning; the selected host stays selected."""
        self.model.sort_by(sort)
        self.table.show_from(0)
        self._want()

    def _want(self) -> None:
        """Ask for what is to be seen now."""
        if self._settling is not None:
            self._settling.stop()
            self._settling = None
        self._line.renew()
        self.ask()

    def _want_soon(self) -> None:
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(_SETTLE_S, self._want)

    # Not exclusive: a request that is cut off while it is being sent would be taken for sent.
    @work(group="ask")
    async def ask(self) -> None:
        """Subscribe to what is visible, or read it from the store."""
        request = self.model.request()
        self._asked_offset, self._asked_limit = request.offset, request.limit
        if self.session.instant.is_live:
            await self.follow(_HOSTS, request)
        else:
            await self.follow(_HOSTS, None)
            if self._past.wish(True):
                self.run_worker(self._past.run(), group="past")

    async def _load_past(self, wanted: bool) -> None:
        """Bring the fleet as it was at the instant."""
        client = await self.session.ready()
        at_ms = self.session.instant.at_ms
        request = self.model.request()
        if at_ms is None:
            return
        try:
            window = await client.hosts.window(
                request.selector,
                sort=request.sort,
                descending=request.descending,
                offset=request.offset,
                limit=request.limit,
                pinned=request.pinned,
                at_ms=at_ms,
            )
        except CyberCorpError as error:
            if self.session.instant.at_ms is None:
                return
            self._past_problem = str(error)
            self._waiting_since = None
            self.model.forget()  # the present's rows are no answer to a question about the past
        else:
            # A held key has gone on meanwhile: what lies on the way is shown, too.
            if self.session.instant.at_ms is None:
                return
            self._past_problem = ""
            if self.session.instant.at_ms == at_ms:
                self._waiting_since = None
            self.model.take(window)
            self._open_only_host()
        self._show()

    def _show(self) -> None:
        """Draw the table, or what stands in its place."""
        if not self.is_mounted:
            return
        session = self.session
        placard = placard_of(self.model, session.connection, session.instant, problem=self._past_problem)
        self.query_one("#fleet").set_class(placard is not None, "-bare")
        if placard is not None:
            title, sentences, next_step = placard
            self._placard.say(title, *sentences, next_step=next_step)
        table = self.table
        waiting = self._waiting_since is not None and session.clock.monotonic() - self._waiting_since >= _PATIENCE_S
        table.stale = waiting or not session.connection.is_open
        self._line.waiting = waiting
        table.now_ms = self._now_ms()
        table.renew()
        self._line.renew()
        self._header.renew()

    def _now_ms(self) -> int:
        """The present of what is shown: it grows while nothing comes."""
        shown = self.model.timestamp_ms or 0
        if self._heard_at is None or not self.session.instant.is_live:
            return shown
        silent = self.session.clock.monotonic() - self._heard_at
        return shown + int(silent * 1000) if silent >= 2.0 else shown

    def _open_only_host(self) -> None:
        """A fleet of one is that host: it is opened once, unless the person has begun to do something else."""
        if self._settled or self.model.selector:
            return
        if self.model.total > 1:
            self._settled = True
        elif self.model.total == 1 and self.app.screen is self:
            self._settled = True
            row = self.model.rows.get(0)
            if row is not None:
                cast(Opener, self.app).open_host(row.id)
