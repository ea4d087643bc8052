"""What every screen of the dashboard has: header, body, time bar and keys; and the contract it keeps.

A screen derives from `DashboardScreen` and gives:

- `PLACE`, its rows of the registry (`tui/actions.py`), and `BINDINGS = bindings_of(PLACE)`;
- `compose_body()`, its widgets between header and time bar;
- `show_instant(at_ms)`: draw this instant (None: live). Called when the instant changed, and when the screen comes to
  the front and had shown another one. Until the first call it shows the present;
- `take_update(update)`: an update of a topic it asked for with `follow(name, request)`, or events;
- `about(width)`: what the header says about its subject; `silent_s()` when that subject does not send;
- `connection_changed()` (call super): the connection came or went, `self.session.connection` says which;
- `step_back()`: undo the last narrowing of the view (a filter); False lets `esc` leave the screen;
- `catching_up`: whether the picture of an instant is still awaited, so that playing waits for it;
- `time_host`, the (id, name) of the host whose CPU the time bar shows; None: the fleet's.

`await self.session.ready()` is the client. A screen asks for the past only while `self.session.instant` is not live.
"""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from typing import ClassVar, Protocol, cast

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen

from cybercorp.client.inbox import Update
from cybercorp.core.errors import CyberCorpError
from cybercorp.protocol.events import EventKind
from cybercorp.protocol.live import EventsUpdate, Subscribe
from cybercorp.security.display import safe_text
from cybercorp.tui.actions import Place
from cybercorp.tui.conflation import Newest
from cybercorp.tui.screens.jump import JumpDialog
from cybercorp.tui.session import Session
from cybercorp.tui.state.connection import Mood, badge, mood_of
from cybercorp.tui.state.lines import Line
from cybercorp.tui.state.time_track import TimeTrack
from cybercorp.tui.track_loader import TrackLoader, event_beside
from cybercorp.tui.widgets.action_bar import ActionBar
from cybercorp.tui.widgets.header_bar import HeaderBar, HeaderText
from cybercorp.tui.widgets.time_bar import TimeBar
from cybercorp.tui.widgets.too_small import TooSmall

LEAST_WIDTH, LEAST_HEIGHT = 80, 24


class Dashboard(Protocol):
    """The app, as a screen sees it."""

    session: Session

    @property
    def server_name(self) -> str: ...

    @property
    def notice(self) -> str: ...

    def playing_changed(self) -> None: ...


class DashboardScreen(Screen[None]):
    """See the module. `renew()` draws header, time bar and footer again where they differ."""

    DEFAULT_CSS = """
    DashboardScreen { layout: vertical; background: $background; }
    DashboardScreen TooSmall { display: none; }
    DashboardScreen.-too-small TooSmall { display: block; }
    DashboardScreen.-too-small .body, DashboardScreen.-too-small TimeBar,
    DashboardScreen.-too-small HeaderBar, DashboardScreen.-too-small ActionBar { display: none; }
    """
    PLACE: ClassVar[Place]
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self) -> None:
        super().__init__()
        self.shown_at_ms: int | None = None
        self.time_host: tuple[str, str] | None = None
        self._track = TimeTrack()
        self._tracking = Newest(self._load_track)
        self._header = HeaderBar(self._say_header)
        self._footer = ActionBar(self.PLACE, self._say_footer)

    @cached_property
    def _loader(self) -> TrackLoader:
        return TrackLoader(self._track, self.session.clock)

    @property
    def session(self) -> Session:
        """Client, connection and instant."""
        return self.dashboard.session

    @property
    def dashboard(self) -> Dashboard:
        return cast(Dashboard, self.app)

    # what a screen gives

    def compose_body(self) -> ComposeResult:
        """The widgets between header and time bar."""
        yield from ()

    def show_instant(self, at_ms: int | None) -> None:
        """Draw this instant, None for the present."""

    def take_update(self, update: Update) -> None:
        """An update of a topic that is followed, or events. Call super for the marks of the time bar."""
        if isinstance(update, EventsUpdate):
            self._track.add_events(update.events)
            if any(one.kind == EventKind.HOST_CONNECTED for one in update.events):
                self._track.doubt()  # an agent that was away sends what it has kept
            self.time_bar.renew()
        if self._header_is_stale:
            self.renew()

    def connection_changed(self) -> None:
        """The connection came or went."""
        if self.session.connection.is_open:
            self._track.doubt()
            self.load_track()
        self.renew()

    def about(self, width: int) -> Line:
        """The subject in the header, in at most `width` cells."""
        return []

    def silent_s(self) -> int | None:
        """How long the subject of this screen has been silent, when it should send; None when all is well."""
        return None

    @property
    def catching_up(self) -> bool:
        """Whether the instant that is wanted is not drawn yet."""
        return False

    def step_back(self) -> bool:
        """Undo the last narrowing of the view; False when there is none to undo."""
        return False

    def tick(self) -> None:
        """A second passed. Call super: it renews what shows a time."""
        self.renew()
        watching = self.session.instant.is_live and self.session.connection.is_open
        if watching and self._loader.is_due(self.time_bar.columns):
            self.load_track()

    def play(self, elapsed_s: float) -> None:
        """So much time has passed while the past plays."""
        if self.session.instant.advance(elapsed_s):
            self.instant_changed()

    # what a screen uses

    async def follow(self, name: str, request: Subscribe | None) -> int:
        """Open, replace or (None) end the subscription of this name; its number. It is open while in front."""
        return await self.session.follow(self, name, request)

    @cached_property
    def time_bar(self) -> TimeBar:
        """The time bar, also before it is mounted and after it is gone."""
        return TimeBar(self.session.instant, self._track)

    def renew(self) -> None:
        """Draw header and time bar where they differ."""
        if not self.is_attached:
            return
        self._header.renew()
        self._footer.renew()
        bar = self.time_bar
        bar.stale = not self.session.connection.is_open
        if self.time_host is not None:
            bar.host_id, bar.subject = self.time_host[0], f"{safe_text(self.time_host[1], 30)} cpu"
        else:
            bar.host_id, bar.subject = None, "fleet cpu"
        bar.renew()

    def instant_changed(self) -> None:
        """The instant or the window changed: show it."""
        at_ms = self.session.instant.at_ms
        self.dashboard.playing_changed()
        self.renew()
        self.load_track()
        if at_ms != self.shown_at_ms:
            self.shown_at_ms = at_ms
            self.show_instant(at_ms)

    # events

    def compose(self) -> ComposeResult:
        yield self._header
        yield from self.compose_body()
        yield self.time_bar
        yield self._footer
        yield TooSmall(LEAST_WIDTH, LEAST_HEIGHT)

    def on_resize(self, event: events.Resize) -> None:
        small = event.size.width < LEAST_WIDTH or event.size.height < LEAST_HEIGHT
        self.set_class(small, "-too-small")
        self.call_after_refresh(self.load_track)  # another width has other columns

    async def on_screen_resume(self) -> None:
        await self.session.bring_forward(self)
        if self.session.instant.at_ms != self.shown_at_ms:
            self.instant_changed()
        else:
            self.renew()
            self.load_track()

    async def on_unmount(self) -> None:
        await self.session.forget(self)

    @on(TimeBar.Chosen)
    def _time_chosen(self, event: TimeBar.Chosen) -> None:
        event.stop()
        self.go_to(event.at_ms)

    @on(TimeBar.Zoomed)
    def _time_zoomed(self, event: TimeBar.Zoomed) -> None:
        event.stop()
        self.action_zoom(event.levels)

    # actions

    def go_to(self, at_ms: int | None) -> None:
        """Show another instant."""
        self._pause()
        if self.session.instant.go(at_ms):
            self.instant_changed()

    def action_step(self, steps: int) -> None:
        self._pause()
        if self.session.instant.step(steps // (10 if abs(steps) >= 10 else 1), heavy=abs(steps) >= 10):
            self.instant_changed()

    def action_zoom(self, levels: int) -> None:
        if self.session.instant.zoom(levels):
            self.instant_changed()

    def action_live(self) -> None:
        self.go_to(None)

    def action_play(self) -> None:
        if self.session.instant.toggle_play():
            self.instant_changed()
        else:
            self.dashboard.playing_changed()
            self.renew()

    def action_speed(self, steps: int) -> None:
        """Play faster or slower; what stands still begins to play."""
        instant = self.session.instant
        changed = instant.change_speed(steps)
        if not instant.is_live and not instant.playing:
            self.action_play()
        elif changed:
            self.renew()

    @work(exclusive=True, group="events-jump")
    async def action_event(self, direction: int) -> None:
        """Go to the next event, or to the one before."""
        client = await self.session.ready()
        instant = self.session.instant
        at_ms = instant.now_ms() if instant.at_ms is None else instant.at_ms
        try:
            found = await event_beside(client, at_ms, direction, host=self.time_host and self.time_host[0])
        except CyberCorpError as error:
            self.notify(safe_text(str(error), 300), title="The events cannot be read", severity="error", markup=False)
            return
        inside = instant.recorded is None or (found is not None and instant.recorded[0] <= found <= instant.recorded[1])
        if found is None or not inside:
            self.notify("No event comes after this." if direction > 0 else "No event came before this.", markup=False)
        else:
            self.go_to(found)

    def action_jump(self) -> None:
        self.app.push_screen(JumpDialog(self.session.instant), self._jumped)

    def _pause(self) -> None:
        if self.session.instant.playing:
            self.session.instant.playing = False
            self.dashboard.playing_changed()
            self.renew()

    def _jumped(self, changed: bool | None) -> None:
        if changed:
            self.instant_changed()

    # inside

    @property
    def _header_is_stale(self) -> bool:
        return self._header.has_class(f"-{Mood.STALE.value}")

    def _say_footer(self) -> dict[str, str] | None:
        instant = self.session.instant
        if instant.is_live:
            return None
        words = {"play": "pause" if instant.playing else "play", "speed": f"{instant.speed}×"}
        return words if instant.recorded is None else {**words, "live": "to the end"}

    def _say_header(self, width: int) -> HeaderText:
        session = self.session
        now = dt.datetime.fromtimestamp(session.clock.now_ms() / 1000).astimezone()
        silent = self.silent_s()
        return HeaderText(
            name="CyberCorp",
            about=self.about(max(width - 14, 10)),
            badge=badge(session.connection, session.instant, silent_s=silent),
            clock=f"{now:%H:%M:%S}" if session.instant.recorded is None else "",
            mood=mood_of(session.connection, session.instant, silent_s=silent),
            trouble=session.connection.trouble() or self.dashboard.notice,
        )

    def load_track(self) -> None:
        """Bring the values and marks of the window that the time bar shows."""
        if self._tracking.wish(True):
            self.run_worker(self._tracking.run(), group="track")

    async def _load_track(self, wanted: bool) -> None:
        client = await self.session.ready()
        if not self.time_bar.size.width:
            return  # not laid out yet, or hidden: the resume or the resize asks again
        self._loader.host = self.time_host
        try:
            changed = await self._loader.load(client, self.time_bar.columns, now_ms=self.session.instant.now_ms())
        except CyberCorpError:
            return  # the bar keeps its last picture; what is wrong is said by the header
        if changed:
            self.time_bar.renew()
