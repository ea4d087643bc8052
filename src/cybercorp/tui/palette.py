"""The `:` palette: every action of the registry, every theme, and hosts by name. Names are never read as markup."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from cybercorp.core.errors import CyberCorpError
from cybercorp.security.display import safe_text
from cybercorp.tui.actions import Action, Place, actions_of, key_label
from cybercorp.tui.screens.dashboard import DashboardScreen
from cybercorp.tui.themes import THEMES

_HOSTS = 20
_WORD = "host "
_FIRST = 1000.0  # above every score of the fuzzy matcher


class ActionCommands(Provider):
    """Actions of the screen below the palette, and the themes."""

    async def discover(self) -> Hits:
        for one in self._actions():
            yield DiscoveryHit(Content(one.title), partial(self._run, one), text=one.title, help=_help(one))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for one in self._actions():
            score = matcher.match(one.title)
            if score > 0:
                yield Hit(score, Content(one.title), partial(self._run, one), text=one.title, help=_help(one))
        for theme in THEMES:
            title = f"theme {theme.name.removeprefix('cybercorp-').replace('-', ' ')}"
            score = matcher.match(title)
            if score > 0:
                yield Hit(score, Content(title), partial(setattr, self.app, "theme", theme.name), text=title)

    def _actions(self) -> list[Action]:
        screen = self.screen
        place = screen.PLACE if isinstance(screen, DashboardScreen) else Place.EVERYWHERE
        return [one for one in actions_of(place) if one.handler]

    async def _run(self, action: Action) -> None:
        await self.screen.run_action(action.handler)


class HostCommands(Provider):
    """Hosts whose names contain what is typed, with or without the word `host` before it."""

    async def search(self, query: str) -> Hits:
        name = query.removeprefix(_WORD).strip()
        screen = self.screen
        if not name or not isinstance(screen, DashboardScreen) or screen.session.client is None:
            return
        pattern = "".join(sign if sign.isalnum() or sign in "-_." else "?" for sign in name.split()[0])
        try:
            window = await screen.session.client.hosts.window(f"*{pattern}*", limit=_HOSTS)
        except CyberCorpError:
            return  # the header says what is wrong with the server
        for position, row in enumerate(window.rows):
            shown = safe_text(row.name, 80)
            text = f"{_WORD}{shown}"
            score = _score(row.name, name, asked=query.startswith(_WORD)) - position / 1000
            command = partial(cast(Any, self.app).open_host, row.id)
            yield Hit(score, Content(text), command, text=text, help=cast(str, Content(f"{row.state.value}")))


def _score(name: str, typed: str, *, asked: bool) -> float:
    """Hosts stand above actions when a host is asked for, below them when a name only happens to hold the letters."""
    if asked or name == typed:
        return _FIRST
    return _FIRST / 2 if name.startswith(typed) and len(typed) > 1 else 0.1


def _help(action: Action) -> str:
    # Content, because a string would be read as markup: `[` is one of the keys.
    return cast(str, Content("  ".join(key_label(key) for key in action.keys)))
