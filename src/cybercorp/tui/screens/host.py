"""The host screen: panels and processes of one host, live or at a past instant."""

from __future__ import annotations

from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType

from cybercorp.client.inbox import Update
from cybercorp.protocol.live import MetricsCatalogueUpdate, MetricsUpdate, ProcessesUpdate, Subscribe, Topic
from cybercorp.protocol.problems import Problem
from cybercorp.tui.actions import Place, bindings_of
from cybercorp.tui.past_loader import HostClient
from cybercorp.tui.screens.dashboard import DashboardScreen
from cybercorp.tui.state.host_layout import PANELS
from cybercorp.tui.state.lines import Line
from cybercorp.tui.state.processes_order import ProcessSort
from cybercorp.tui.widgets.host_board import HostBoard

_METRICS, _PROCESSES = "metrics", "processes"
_SILENT_INTERVALS = 5
_AHEAD_S = 10
_MOST_AHEAD_MS = 600_000


class HostScreen(DashboardScreen):
    """One host. `host` is its name or id."""

    PLACE = Place.HOST
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of(Place.HOST)]

    def __init__(self, host: str) -> None:
        super().__init__()
        self.host = host
        self.board = HostBoard(host, self._client, id="board")
        self.board.add_class("body")
        self.board.ahead_ms = self._ahead_ms
        self._row_at: float | None = None

    def compose_body(self) -> ComposeResult:
        yield self.board

    async def on_mount(self) -> None:
        await self._follow(_METRICS, Topic.METRICS)
        await self._follow(_PROCESSES, Topic.PROCESSES)

    async def on_screen_resume(self) -> None:
        # Nothing was followed while another screen was in front; Textual calls the handler of the base class too.
        self.board.interrupted()

    # the contract of a dashboard screen

    def show_instant(self, at_ms: int | None) -> None:
        self.board.show_instant(at_ms)
        # Nobody looks at the live processes in the past, so their agent need not collect them.
        self._watch_processes(at_ms is None)

    def take_update(self, update: Update) -> None:
        super().take_update(update)
        match update:
            case MetricsCatalogueUpdate():
                self.board.take_catalogue(update)
            case MetricsUpdate():
                self._row_at = self.session.clock.monotonic()
                self.board.take_row(update)
            case ProcessesUpdate():
                self.board.take_processes(update)
            case Problem():
                self.board.fail(f"{update.detail} {update.hint}".strip())
            case _:
                pass

    def connection_changed(self) -> None:
        super().connection_changed()
        if not self.session.connection.is_open:
            self.board.interrupted()
        else:
            self.board.learn()
        self._show_age()

    def about(self, width: int) -> Line:
        return self.board.view.header(width, now_ms=self.session.instant.now_ms())

    def silent_s(self) -> int | None:
        if self._row_at is None or not self.session.connection.is_open:
            return None
        silent = self.session.clock.monotonic() - self._row_at
        interval_s = self.board.view.live.interval_ms / 1000
        return int(silent) if silent >= max(_SILENT_INTERVALS * interval_s, 5.0) else None

    @property
    def catching_up(self) -> bool:
        return self.board.catching_up

    def tick(self) -> None:
        super().tick()
        self._show_age()

    # actions

    def action_details(self) -> None:
        self.board.processes.table.action_open()

    def action_filter(self) -> None:
        self.board.processes.open_filter()

    def action_tree(self) -> None:
        self.board.processes.table.action_tree()

    def action_sort_next(self, step: int) -> None:
        self.board.processes.table.action_sort_next(step)

    def action_sort_by(self, name: str) -> None:
        self.board.processes.table.action_sort(ProcessSort[name.upper()])

    def action_who(self) -> None:
        """Put the cursor into a chart, or into the next one."""
        if not self.board.next_chart():
            self.notify("No chart is shown here: p shows other panels.", markup=False)

    def action_panels(self, step: int) -> None:
        self.board.turn_page(step)

    def action_enlarge(self, number: int) -> None:
        if 1 <= number <= len(PANELS):
            self.board.enlarge(PANELS[number - 1])

    def step_back(self) -> bool:
        """Undo the last narrowing of the view: an enlarged panel, a filter. False: leave the screen."""
        return self.board.step_back()

    # inside

    @on(HostBoard.Chosen)
    def _chosen(self, event: HostBoard.Chosen) -> None:
        event.stop()
        self.go_to(event.at_ms)

    @on(HostBoard.Known)
    def _known(self, event: HostBoard.Known) -> None:
        event.stop()
        host = self.board.view.host
        if host is not None and self.time_host != (host.id, host.name):
            self.time_host = (host.id, host.name)
            self.load_track()
        self.renew()

    def _ahead_ms(self) -> int:
        """While it plays, one question brings what the next seconds of watching need."""
        instant = self.session.instant
        if not instant.playing or instant.at_ms is None:
            return 0
        return max(min(_AHEAD_S * instant.speed * 1000, _MOST_AHEAD_MS, instant.now_ms() - instant.at_ms - 5_000), 0)

    async def _client(self) -> HostClient:
        return await self.session.ready()

    async def _follow(self, name: str, topic: Topic) -> None:
        await self.follow(name, Subscribe(subscription=0, topic=topic, host=self.host))

    @work(group="watch", exclusive=True)
    async def _watch_processes(self, wanted: bool) -> None:
        if wanted:
            await self._follow(_PROCESSES, Topic.PROCESSES)
        else:
            await self.follow(_PROCESSES, None)

    def _show_age(self) -> None:
        """Dim the last picture while it is old."""
        stale = self.session.instant.is_live and (not self.session.connection.is_open or self.silent_s() is not None)
        self.board.set_class(stale and self.board.view.live.known, "-stale")
