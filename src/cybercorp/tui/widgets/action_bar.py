"""The last line: the keys of this screen from the registry; each can be clicked."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cybercorp.tui.actions import Action, Place, footer_of, key_label
from cybercorp.tui.state.lines import Run, Tone, width_of
from cybercorp.tui.widgets.action_line import ActionLine, Hot


class ActionBar(ActionLine):
    """As many actions as fit, most important first; `? keys` and `q quit` always stand at its right end."""

    DEFAULT_CSS = """
    ActionBar { background: $panel; }
    """

    def __init__(
        self, place: Place, words: Callable[[], Mapping[str, str] | None] = lambda: None, *, id: str | None = None
    ) -> None:
        """`words` are better words for some labels while a past instant is shown, as things stand; None: live."""
        super().__init__(id=id)
        self._place = place
        self._words = words

    def describe(self, width: int) -> list[Hot]:
        parts: list[Hot] = [Hot(Run(" "))]
        last = Hot(Run("more", Tone.MUTED), "app.help")
        room = width - 1
        words = self._words()
        entries = footer_of(self._place, past=words is not None)
        for position, (_, label, actions) in enumerate(entries):
            piece = _piece((words or {}).get(label, label), actions)
            size = sum(width_of(part.run.text) for part in piece)
            rest = 0 if position == len(entries) - 1 else 8
            if size + rest > room:
                return [*parts, Hot(Run("? ", Tone.ACCENT), "app.help"), last]
            parts += piece
            room -= size
        return parts


def _piece(label: str, actions: list[Action]) -> list[Hot]:
    keys = [Hot(Run(f"{key_label(one.keys[0])} ", Tone.ACCENT), one.handler) for one in actions]
    return [*keys, Hot(Run(label, Tone.MUTED), actions[-1].handler), Hot(Run("   "))]
