"""The dashboard: wires the session, the screens and the themes. Nothing else lives here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import urlsplit

from textual.app import App
from textual.binding import BindingType
from textual.command import CommandPalette, Provider
from textual.screen import Screen
from textual.timer import Timer

from cybercorp.core.settings import load_settings
from cybercorp.security.display import safe_text
from cybercorp.tui.actions import Place, bindings_of
from cybercorp.tui.clients import FleetClient
from cybercorp.tui.log_ins import LogIns
from cybercorp.tui.palette import ActionCommands, HostCommands
from cybercorp.tui.screens.audit import AuditScreen
from cybercorp.tui.screens.dashboard import DashboardScreen
from cybercorp.tui.screens.events import EventsScreen
from cybercorp.tui.screens.fleet import FleetScreen
from cybercorp.tui.screens.help import HelpScreen
from cybercorp.tui.screens.opening import open_host_screen
from cybercorp.tui.session import Session
from cybercorp.tui.settings import TuiSettings
from cybercorp.tui.themes import DARK, THEMES, next_theme

_NOTICE_S = 15
_FRAME_S = 0.25  # playing draws at most four pictures a second


class DashboardApp(App[int]):
    """`session` is what every screen works with. Fleet is always the lowest screen."""

    TITLE = "CyberCorp"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {ActionCommands, HostCommands}
    BINDINGS: ClassVar[list[BindingType]] = bindings_of(Place.EVERYWHERE)
    NOTIFICATION_TIMEOUT = 8
    CSS = """
    SearchIcon { display: none; }
    """

    def __init__(
        self,
        session: Session,
        *,
        notices: Callable[[], list[str]] | None = None,
        ascii_glyphs: bool = False,
        theme: str = DARK.name,
        title: str = "",
    ) -> None:
        super().__init__()
        self._title = title
        self.session = session
        self.ascii_glyphs = ascii_glyphs
        self._notices = notices
        self._notice = ""
        self._notice_until = 0.0
        self._player: Timer | None = None
        self._played_at = 0.0
        for one in THEMES:
            self.register_theme(one)
        self.theme = theme
        self._log_ins = LogIns(self)
        session.prove = self._log_ins.prove

    # what screens ask

    @property
    def server_name(self) -> str:
        """The server's address without its scheme; of a recording its file."""
        if self._title:
            return safe_text(self._title, 60)
        client, account = self.session.client, self.session.account
        who = f"{account.name}@" if account is not None and account.user is not None else ""
        return safe_text(f"{who}{urlsplit(client.url).netloc}", 60) if client is not None else ""

    @property
    def notice(self) -> str:
        """The newest message of the supervisor, for a while."""
        return self._notice if self.session.clock.monotonic() < self._notice_until else ""

    def open_host(self, host_id: str) -> None:
        """Show one host above the fleet."""
        self._back_to(FleetScreen)
        self.push_screen(open_host_screen(host_id))

    # life

    def get_default_screen(self) -> Screen[Any]:
        return FleetScreen()

    def on_mount(self) -> None:
        # The client's libraries are imported after the first frame stands on the terminal.
        self.call_after_refresh(self._begin)
        self.set_interval(1.0, self._tick)
        self._player = self.set_interval(_FRAME_S, self._play, pause=True)

    def _begin(self) -> None:
        self.run_worker(self.session.run(), name="session", exclusive=True, group="session")

    def _tick(self) -> None:
        for text in self._notices() if self._notices is not None else ():
            self._notice = safe_text(text, 300)
            self._notice_until = self.session.clock.monotonic() + _NOTICE_S
            self.notify(self._notice, severity="warning", markup=False)
        self._log_ins.offer()
        screen = self.front
        if screen is not None:
            screen.tick()

    def playing_changed(self) -> None:
        """The past began to play, or stands still: frames come only while it plays."""
        if self._player is None:
            return
        if self.session.instant.playing:
            self._played_at = self.session.clock.monotonic()
            self._player.resume()
        else:
            self._player.pause()

    def _play(self) -> None:
        """Show what the past has come to. A picture that is not here yet is waited for, and time goes on meanwhile."""
        screen, now = self.front, self.session.clock.monotonic()
        if screen is None or screen is not self.screen:
            self._played_at = now  # a dialog is open: it does not play behind it
            return
        if not self.session.instant.playing or screen.catching_up:
            return
        elapsed_s, self._played_at = now - self._played_at, now
        screen.play(elapsed_s)
        self.playing_changed()

    @property
    def front(self) -> DashboardScreen | None:
        """The dashboard screen that is seen, also under a dialog."""
        return next((one for one in reversed(self.screen_stack) if isinstance(one, DashboardScreen)), None)

    # actions

    def action_help(self) -> None:
        front = self.front
        if front is not None and not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(front.PLACE))

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(CommandPalette(placeholder="host web-1, or what to do…"))

    def action_next_theme(self) -> None:
        self.theme = next_theme(self.theme)

    def action_log_in(self) -> None:
        self._log_ins.ask()

    async def action_log_out(self) -> None:
        await self._log_ins.log_out()

    def action_retry(self) -> None:
        self.session.retry()

    async def action_back(self) -> None:
        screen = self.screen
        if isinstance(screen, DashboardScreen) and screen.step_back():
            return
        if len(self.screen_stack) > 1:
            await self.pop_screen()

    def action_show_events(self) -> None:
        if self.front is None or self.front.PLACE is not Place.EVENTS:
            self.push_screen(EventsScreen())

    def action_show_audit(self) -> None:
        if not isinstance(self.front, AuditScreen):
            self.push_screen(AuditScreen())

    def action_show_fleet(self) -> None:
        self._back_to(FleetScreen)

    def _back_to(self, kind: type[DashboardScreen]) -> None:
        while len(self.screen_stack) > 1 and not isinstance(self.screen, kind):
            self.pop_screen()


def run_dashboard(
    client_factory: Callable[[], FleetClient],
    *,
    notices: Callable[[], list[str]] | None = None,
    at_ms: int | None = None,
    recorded: tuple[int, int] | None = None,
    title: str = "",
) -> int:
    """Open the dashboard until it is quit; the exit code. `notices` are new messages of a supervisor.

    `at_ms` is the instant that is shown first, None the present; `recorded` the first and last instant of a recording,
    which has no present, and `title` what is said instead of a server's address. Raises SettingsError for a setting of
    `tui.toml` that cannot be used.
    """
    settings = load_settings(TuiSettings, program="tui")
    app = DashboardApp(
        Session(client_factory, at_ms=at_ms, recorded=recorded),
        notices=notices,
        ascii_glyphs=settings.glyphs == "ascii" or (settings.glyphs == "auto" and not shows_unicode(sys.__stdout__)),
        theme=f"cybercorp-{settings.theme}",
        title=title,
    )
    app.run()
    return app.return_code or 0


def shows_unicode(terminal: object) -> bool:
    """Whether the encoding of a stream holds our glyphs."""
    encoding = str(getattr(terminal, "encoding", None) or "ascii").lower()
    return encoding.replace("-", "").startswith("utf")
