"""The processes with their frame: what is shown in the title, the filter's input at the bottom."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import NULL_OFFSET, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from cybercorp.protocol.processes import ProcessTable
from cybercorp.tui.state.host_panels import Canvas, PanelText
from cybercorp.tui.state.lines import Line, Run, Tone
from cybercorp.tui.state.processes import ProcessModel
from cybercorp.tui.state.processes_filter import MAX_FILTER_LENGTH
from cybercorp.tui.widgets.panel import Panel
from cybercorp.tui.widgets.process_table import ProcessTableView

LOADING = "Waiting for the processes…"


class _Inside(Layout):
    """The table inside the frame; the filter over the frame's lower border while it is open."""

    name = "inside"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        parent.pre_layout(self)
        placements = []
        for child in children:
            if isinstance(child, Input):
                region = Region(4, max(size.height - 1, 0), max(min(size.width - 6, 60), 1), 1)
            else:
                region = Region(1, 1, max(size.width - 2, 1), max(size.height - 2, 1))
            placements.append(WidgetPlacement(region, NULL_OFFSET, Spacing(), child))
        return placements


class FilterInput(Input):
    """One line for the filter; `esc` gives it up, `enter` keeps it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "give up", show=False)]

    class GivenUp(Message):
        """The filter is not wanted any more."""

    def action_give_up(self) -> None:
        self.post_message(self.GivenUp())


class ProcessPanel(Panel):
    """Frame, table and filter of one host's processes."""

    DEFAULT_CSS = """
    ProcessPanel FilterInput { display: none; height: 1; padding: 0; background: $boost; }
    ProcessPanel.-filtering FilterInput { display: block; }
    """

    def __init__(self, model: ProcessModel, *, id: str | None = None) -> None:
        super().__init__(self.describe, id=id)
        self.model = model
        self.when = ""
        self.hint = LOADING
        self.pages: Line = []
        self.table = ProcessTableView(model, id="process-table")
        self._inside = _Inside()

    @property
    def layout(self) -> Layout:
        return self._inside

    def compose(self) -> ComposeResult:
        yield self.table
        yield FilterInput(
            compact=True,
            placeholder="name, user, pid, cpu>50, rss>100M, user=root",
            max_length=MAX_FILTER_LENGTH,
            id="process-filter",
        )

    def on_mount(self) -> None:
        super().on_mount()
        self._say()

    def show(self, table: ProcessTable, *, live: bool, when: str = "") -> None:
        """Show a table; `when` names the past instant it belongs to, empty for now."""
        self.when = when
        self.table.show(table, live=live)
        self._say()
        self.renew()

    def empty(self, hint: str, *, when: str = "") -> None:
        """Nothing is known for what the screen shows: say why."""
        self.model.clear()
        self.when = when
        self.hint = hint
        self.table.rearranged()
        self._say()
        self.renew()

    def describe(self, canvas: Canvas) -> PanelText:
        """The title: how many, of when, in which order, filtered by what."""
        model = self.model
        table = model.table
        count = f"{table.total:,}" if model.known else ""
        title: Line = [Run("Processes", Tone.TITLE), Run(f" {count}" if count else "", Tone.VALUE)]
        if self.when:
            title.append(Run(f" at {self.when}", Tone.ACCENT))
        if model.known and table.partial and len(table.pid) < table.total:
            title.append(Run(f" · the top {len(table.pid)}", Tone.MUTED))
        arrow = "▼" if model.descending else "▲"
        if canvas.width >= 50:
            title.append(Run(f" · {model.sort.value} {arrow}", Tone.MUTED))
            if model.tree:
                title.append(Run(" · tree", Tone.MUTED))
        if model.filter:
            title += [Run(" · ", Tone.MUTED), Run(model.filter.source, Tone.ACCENT)]
            title.append(Run(f" {len(model.rows):,} shown", Tone.MUTED))
        if model.filter_error:
            title += [Run(" · ", Tone.MUTED), Run(model.filter_error, Tone.ERROR)]
        keys = (("/", "filter"), ("T", "tree"), ("< >", "sort"), ("enter", "details"))
        note: Line = []
        if canvas.width >= 96:
            for key, what in keys:
                note += [Run(("  " if note else "") + key, Tone.ACCENT), Run(f" {what}", Tone.MUTED)]
        foot = [Run("/", Tone.ACCENT)] if self.has_class("-filtering") else self.pages
        return PanelText(title, [], note, foot)

    def open_filter(self) -> None:
        """Begin to type a filter."""
        self.add_class("-filtering")
        field = self.query_one(FilterInput)
        field.value = self.model.filter.source
        field.focus()
        self.renew()

    def clear_filter(self) -> bool:
        """Show everything again; False when everything is shown already."""
        had = bool(self.model.filter) or self.model.filter_error is not None
        self.model.set_filter("")
        if had:
            self.table.rearranged()
        return had

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self.has_class("-filtering"):
            self.model.set_filter(event.value)
            self.table.rearranged()

    @on(Input.Submitted)
    def _kept(self, event: Input.Submitted) -> None:
        event.stop()
        self._close_filter()

    @on(FilterInput.GivenUp)
    def _given_up(self, event: FilterInput.GivenUp) -> None:
        event.stop()
        self.clear_filter()
        self._close_filter()

    # The line is open exactly while it has the focus, whoever gave or took it: a terminal that loses and regains the
    # focus must not leave a hidden field that swallows keys.

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.light(True)
        if isinstance(event.widget, FilterInput):
            self.add_class("-filtering")
            self.renew()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        self.light(False)
        if isinstance(event.widget, FilterInput):
            self.remove_class("-filtering")
            if self.model.filter_error is not None:
                self.model.set_filter(self.model.filter.source)
            self.renew()

    @on(ProcessTableView.Changed)
    def _changed(self) -> None:
        self._say()
        self.renew()

    def _close_filter(self) -> None:
        self.table.focus()
        self.remove_class("-filtering")
        self.renew()

    def _say(self) -> None:
        if not self.model.known:
            self.table.say(self.hint)
        elif self.model.filter:
            self.table.say(f"No process matches {self.model.filter.source!r}. Press esc to see all of them.")
        else:
            self.table.say("No process.")
