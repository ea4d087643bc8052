"""The line above the fleet: its filter and its order; both can be clicked."""

from __future__ import annotations

from cybercorp.security.display import safe_text
from cybercorp.tui.state.fleet import FleetModel, sort_name
from cybercorp.tui.state.lines import Run, Tone, text_of
from cybercorp.tui.widgets.action_line import ActionLine, Hot


class FleetLine(ActionLine):
    """`typed` is the filter as the person wrote it."""

    DEFAULT_CSS = """
    FleetLine { background: $background; }
    """

    def __init__(self, model: FleetModel, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._model = model
        self.typed = ""
        self.waiting = False

    def describe(self, width: int) -> list[Hot]:
        model = self._model
        left = [Hot(Run(" filter ", Tone.MUTED), "filter")]
        if self.typed:
            left.append(Hot(Run(safe_text(self.typed, 60), Tone.ACCENT), "filter"))
            if model.known:
                left.append(Hot(Run(f"  {model.total:,} match", Tone.MUTED), "filter"))
        else:
            left.append(Hot(Run("none", Tone.MUTED), "filter"))
        if self.waiting:
            left.append(Hot(Run("  reading…", Tone.ACCENT)))
        if model.problem:
            left.append(Hot(Run(f"  ✖ {model.problem}", Tone.ERROR), "filter"))
        arrow = "▼" if model.descending else "▲"
        right = [
            Hot(Run("sort ", Tone.MUTED), "sort"),
            Hot(Run(f"{sort_name(model.sort)} {arrow} ", Tone.TEXT), "reverse"),
        ]
        room = width - len(text_of([part.run for part in right]))
        used = sum(len(part.run.text) for part in left)
        return [*left, Hot(Run(" " * max(room - used, 1))), *right]
