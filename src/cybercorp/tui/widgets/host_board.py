"""Everything the host screen shows between its header and the time bar: panels, processes, and what feeds them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message

from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.live import MetricsCatalogueUpdate, MetricsUpdate, ProcessesUpdate
from cybercorp.protocol.processes import ProcessTable
from cybercorp.security.display import safe_text
from cybercorp.tui.actions import ACTIONS, key_label
from cybercorp.tui.conflation import Newest
from cybercorp.tui.past_loader import HostClient, PastLoader
from cybercorp.tui.state.host_charts import CHARTS
from cybercorp.tui.state.host_layout import PANELS, PROCESSES
from cybercorp.tui.state.host_panels import Canvas, PanelText
from cybercorp.tui.state.host_view import HostView, clock
from cybercorp.tui.state.lines import Line, Run, Tone
from cybercorp.tui.state.processes_order import ProcessSort
from cybercorp.tui.state.processes_table import sound
from cybercorp.tui.widgets.chart_panel import ChartPanel
from cybercorp.tui.widgets.host_grid import HostGrid
from cybercorp.tui.widgets.panel import Panel
from cybercorp.tui.widgets.process_details import ProcessDetails
from cybercorp.tui.widgets.process_panel import LOADING, ProcessPanel
from cybercorp.tui.widgets.process_table import ProcessTableView

_PANELS_KEY = next(key_label(one.keys[0]) for one in ACTIONS if one.id == "host.panels")
_SETTLE_S = 0.12  # a mouse that sweeps over the chart asks for the instant where it rests
_RECORDED_EVERY_MS = 10_000  # a recorded table tells what was done in the seconds before it


class HostBoard(Container):
    """One host's panels and processes. `take_…` bring live updates, `show_instant` chooses what is shown."""

    DEFAULT_CSS = """
    HostBoard { width: 1fr; height: 1fr; }
    HostBoard.-stale HostGrid { opacity: 60%; }
    """
    ALLOW_SELECT: ClassVar[bool] = False

    class Chosen(Message):
        """An instant of a chart was chosen: the time bar shall go there."""

        def __init__(self, at_ms: int) -> None:
            super().__init__()
            self.at_ms = at_ms

    class Known(Message):
        """Something about the host itself became known: the header has more to say."""

    def __init__(self, host: str, ready: Callable[[], Awaitable[HostClient]], *, id: str | None = None) -> None:
        """`ready` gives the client, as soon as there is one.

        `ahead_ms` may be set: how much more of the past to ask for along with an instant, while it plays.
        """
        super().__init__(id=id)
        self.view = HostView(host)
        self._pointed: int | None = None
        self._filled = False
        self._renewing = False
        self._past = PastLoader(self.view, ready)
        self._wished: Newest[int] = Newest(self._load_instant)
        self._own_order: tuple[ProcessSort, bool] | None = None
        self.ahead_ms: Callable[[], int] = lambda: 0
        self._panels: dict[str, Panel] = {}
        for number, name in enumerate(PANELS, start=1):
            if name in CHARTS:
                self._panels[name] = ChartPanel(self.view, name, number=number)
            else:
                self._panels[name] = Panel(Drawer(self.view, name), number=number, id=name)
        self.processes = ProcessPanel(self.view.processes, id=PROCESSES)
        self.grid = HostGrid(*self._panels.values(), self.processes, wants=self.view.wants)

    def compose(self) -> ComposeResult:
        yield self.grid

    def on_resize(self) -> None:
        self._say_page()

    def on_mount(self) -> None:
        self.processes.table.focus()
        self.learn()

    # live

    def take_catalogue(self, update: MetricsCatalogueUpdate) -> None:
        """The series of the rows that follow."""
        self.view.live.set_catalogue(update.catalogue, update.series)

    def take_row(self, update: MetricsUpdate) -> None:
        """A row of samples."""
        if not self.view.live.add_row(update.catalogue, update.timestamp_ms, update.values):
            return
        self.view.trouble = ""
        if not self._filled:
            self._filled = True
            self.fill_history(update.timestamp_ms)
        if self.view.at_ms is None:
            self._renew_soon()

    def take_processes(self, update: ProcessesUpdate) -> None:
        """A live process table."""
        table = sound(update.table)
        if table is None:
            return
        self.view.add_processes(table)
        if self.view.at_ms is None and self._pointed is None:
            self.processes.show(table, live=True)
            self._renew_details()

    def interrupted(self) -> None:
        """The connection was lost: what happened meanwhile is asked for when rows come again."""
        self._filled = False

    def fail(self, reason: str) -> None:
        """There will be no numbers, for this reason."""
        self.view.trouble = safe_text(reason, 300)
        if not self.view.processes.known:
            self.processes.empty(self.view.trouble)
        self.renew()

    # past

    def show_instant(self, at_ms: int | None) -> None:
        """Show this instant, or what is live now."""
        if at_ms is None:
            self._wished.forget()
            self._past.tracks.clear()
            self.view.go_live()
            self._unpoint()
            self._show_live_processes()
            self.renew()
        elif at_ms != self.view.at_ms:
            self.view.at_ms = at_ms
            if self._wished.wish(at_ms):
                self.run_worker(self._wished.run(), group="instant")

    @property
    def catching_up(self) -> bool:
        """Whether the past instant that is wanted is not drawn yet."""
        return self._wished.busy

    def next_chart(self) -> bool:
        """Put the cursor into a chart, or into the next one; False where none is shown."""
        charts = [one for one in self._panels.values() if isinstance(one, ChartPanel) and one.has_chart]
        focused = next((place for place, one in enumerate(charts) if one.has_focus), -1)
        if charts:
            charts[(focused + 1) % len(charts)].focus()
        return bool(charts)

    def turn_page(self, step: int) -> None:
        """Show other panels above the processes, where not all of them fit."""
        self.grid.turn(step)
        self._say_page()

    def enlarge(self, name: str | None) -> bool:
        """Give one panel the room above the processes, or take it back."""
        done = self.grid.enlarge(name)
        self._say_page()
        return done

    def step_back(self) -> bool:
        """Undo what narrows the view, one thing at a time; False when nothing does."""
        if isinstance(self.app.focused, ChartPanel):
            self.processes.table.focus()
            return True
        if self.grid.enlarged is not None:
            return self.enlarge(None)
        return self.processes.clear_filter()

    def _renew_soon(self) -> None:
        """Draw once for all rows that have arrived by then."""
        if not self._renewing:
            self._renewing = True
            self.call_later(self.renew)

    def renew(self) -> None:
        """Draw what changed."""
        self._renewing = False
        self.grid.reconsider()
        for panel in self._panels.values():
            if panel.region:
                panel.renew()

    # what is asked of the server

    @work(exclusive=True, group="learn")
    async def learn(self) -> None:
        """Who this host is."""
        try:
            await self._past.host()
        except CyberCorpError as error:
            if not self.view.live.known:
                self.fail(str(error))
            return
        self.post_message(self.Known())

    @work(exclusive=True, group="history")
    async def fill_history(self, until_ms: int) -> None:
        """Bring the minutes before the first live row, so that no chart begins empty."""
        try:
            answer = await self._past.recent(until_ms)
        except CyberCorpError:
            return  # the charts fill by themselves; what is wrong is said by what follows
        self.view.live.fill(answer)
        self.renew()

    async def _load_instant(self, at_ms: int) -> None:
        """Bring a past instant: values, five minutes before it, processes."""
        picture = await self._past.load(at_ms, self.ahead_ms())
        if self.view.at_ms is None:
            return
        # A held key has gone on meanwhile: what lies on the way is shown, too.
        wanted = self.view.at_ms
        self.view.trouble = picture.trouble
        self.view.replay(at_ms, picture.latest, self._past.tracks.at(at_ms))
        self.view.at_ms = wanted
        if self._pointed is not None and not isinstance(self.app.focused, ChartPanel):
            self._unpoint()
        if self._pointed is None:
            self._show_past_processes(at_ms, self.view.moments.at(at_ms) or picture.processes)
        self.renew()

    @work(exclusive=True, group="pointed")
    async def load_pointed(self, at_ms: int) -> None:
        """Bring the processes of the instant that the mouse rests on."""
        await asyncio.sleep(_SETTLE_S)
        table = await self._past.processes(at_ms + _RECORDED_EVERY_MS)
        if self._pointed == at_ms:
            self._show_past_processes(at_ms, table)

    # processes of an instant

    @on(ChartPanel.Pointed)
    def _point(self, event: ChartPanel.Pointed) -> None:
        event.stop()
        self.point(event.at_ms, CHARTS[event.panel.name_of_panel])

    @on(ChartPanel.Selecting)
    def _select(self, event: ChartPanel.Selecting) -> None:
        event.stop()
        self.processes.table.action_move(event.step)

    def point(self, at_ms: int | None, sort: ProcessSort = ProcessSort.CPU) -> None:
        """Show who was busy at an instant of a chart, without leaving the instant that the screen shows."""
        model = self.view.processes
        self.workers.cancel_group(self, "pointed")
        if at_ms is None:
            if self._pointed is not None:
                self._unpoint()
                if self.view.at_ms is None:
                    self._show_live_processes()
                else:
                    self.load_pointed_back()
            return
        if self._own_order is None:
            self._own_order = (model.sort, model.descending)
        self._pointed = at_ms
        model.order_by(sort, descending=True)
        table = self.view.moments.at(at_ms)
        if table is not None:
            self.processes.show(table, live=False, when=clock(at_ms))
        else:
            self.load_pointed(at_ms)

    @work(exclusive=True, group="pointed")
    async def load_pointed_back(self) -> None:
        """The mouse left the chart of a past instant: show that instant's processes again."""
        at_ms = self.view.at_ms
        if at_ms is None:
            return
        table = await self._past.processes(at_ms)
        if self.view.at_ms == at_ms and self._pointed is None:
            self._show_past_processes(at_ms, table)

    def _unpoint(self) -> None:
        """No chart is pointed at any more: the order of the processes is the person's own again."""
        self._pointed = None
        for panel in self._panels.values():
            if isinstance(panel, ChartPanel):
                panel.point(None)
        if self._own_order is not None:
            sort, descending = self._own_order
            self._own_order = None
            self.view.processes.order_by(sort, descending=descending)

    @on(ChartPanel.Chosen)
    def _choose(self, event: ChartPanel.Chosen) -> None:
        event.stop()
        self.post_message(self.Chosen(event.at_ms))

    @on(Panel.TitleClicked)
    def _title_clicked(self, event: Panel.TitleClicked) -> None:
        event.stop()
        if event.panel.id != PROCESSES:
            self.enlarge(event.panel.id)

    @on(ProcessTableView.Opened)
    def _open_details(self, event: ProcessTableView.Opened) -> None:
        event.stop()
        key = self.view.processes.selected
        if key is not None:
            self.app.push_screen(ProcessDetails(self.view.processes, key, cores=self.view.cores))

    def _say_page(self) -> None:
        """How many pages of panels there are stands in the lower border."""
        found = self.grid.plan_for(self.size)
        pages: Line = []
        if self.grid.enlarged is not None:
            pages = [Run("esc", Tone.ACCENT), Run(" all panels", Tone.MUTED)]
        elif found.pages > 2 or found.page:
            pages = [Run(_PANELS_KEY, Tone.ACCENT), Run(f" more panels {found.page + 1}/{found.pages}", Tone.MUTED)]
        self.processes.pages = pages
        self.processes.renew()

    def _show_live_processes(self) -> None:
        if self.view.table is not None:
            self.processes.show(self.view.table, live=True)
        else:
            self.processes.empty(self.view.trouble or LOADING)

    def _show_past_processes(self, at_ms: int, table: ProcessTable | str | None) -> None:
        if isinstance(table, ProcessTable):
            self.processes.show(table, live=False, when=clock(table.timestamp_ms))
        else:
            why = safe_text(table, 300) if isinstance(table, str) else f"No processes are recorded at {clock(at_ms)}."
            self.processes.empty(why, when=clock(at_ms))

    def _renew_details(self) -> None:
        screen = self.app.screen
        if isinstance(screen, ProcessDetails) and screen.model is self.view.processes:
            screen.renew()


class Drawer:
    """Draws one panel of a view."""

    def __init__(self, view: HostView, name: str) -> None:
        self._view = view
        self._name = name

    def __call__(self, canvas: Canvas) -> PanelText:
        return self._view.panel(self._name, canvas)
