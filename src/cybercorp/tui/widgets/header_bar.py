"""The first line: what is looked at, how it stands with it, and whether that is live, stale or past."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cybercorp.tui.state.connection import Mood
from cybercorp.tui.state.lines import Line, Run, Tone, line_width
from cybercorp.tui.widgets.action_line import ActionLine, Hot, fit_hot, plain
from cybercorp.tui.widgets.glyphs import wants_ascii

_KEYS = (
    Hot(Run("  :", Tone.ACCENT), "app.command_palette"),
    Hot(Run(" go", Tone.MUTED), "app.command_palette"),
    Hot(Run("  ?", Tone.ACCENT), "app.help"),
    Hot(Run(" keys ", Tone.MUTED), "app.help"),
)


class HeaderText(NamedTuple):
    """`name` leads back when clicked; `about` is the subject; `trouble` takes its place while something is wrong."""

    name: str
    about: Line
    badge: Line
    clock: str
    mood: Mood
    trouble: str = ""


class HeaderBar(ActionLine):
    """Asks `say` for the text that fits a width. Its background tells the mood, and so do its words."""

    DEFAULT_CSS = """
    HeaderBar { background: $panel; }
    HeaderBar.-stale { background: $warning-muted; }
    HeaderBar.-replay { background: $secondary-muted; }
    HeaderBar.-connecting { background: $panel; }
    """

    def __init__(self, say: Callable[[int], HeaderText], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._say = say

    def describe(self, width: int) -> list[Hot]:
        # The badge is as wide as its text; what stands left of it gets the rest.
        said = self._say(width)
        for mood in Mood:
            self.set_class(mood is said.mood, f"-{mood.value}")
        action = "live" if said.mood is Mood.REPLAY else "app.retry" if said.mood is not Mood.LIVE else ""
        keys = list(_KEYS) if width >= 72 else [_KEYS[0], _KEYS[2], Hot(Run(" "))]
        past = said.mood is Mood.REPLAY
        told = f"  {'now ' if past else ''}{said.clock}" if said.clock else ""
        clock = [Hot(Run(told, Tone.MUTED if past else Tone.TEXT))]
        right = [Hot(Run("  ")), *(Hot(run, action) for run in said.badge), *clock, *keys]
        room = width - line_width([part.run for part in right])
        said = self._say(max(room, 10))
        middle = [Run(said.trouble, Tone.TEXT)] if said.trouble else said.about
        left = [Hot(Run(f" {said.name}", Tone.TITLE), "app.back"), Hot(Run("  ")), *plain(middle)]
        return [*fit_hot(left, max(room, 0), ascii=wants_ascii(self.app)), *right]
