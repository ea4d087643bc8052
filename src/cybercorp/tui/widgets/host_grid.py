"""The container that places the host screen's panels as `state/host_layout.py` plans them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from textual.containers import Container
from textual.geometry import NULL_OFFSET, Region, Size, Spacing
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.widget import Widget

from cybercorp.tui.state.host_layout import PROCESSES, Plan, plan


class _Planned(Layout):
    """Children stand in the box that has their id; those without one are not shown."""

    name = "planned"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        parent.pre_layout(self)
        if not isinstance(parent, HostGrid):
            return []
        boxes = parent.plan_for(size).boxes
        return [
            WidgetPlacement(Region(*boxes[child.id]), NULL_OFFSET, Spacing(), child)
            for child in children
            if child.id is not None and child.id in boxes
        ]


class HostGrid(Container):
    """Panels above the processes. `wants` says how many lines each panel would fill."""

    DEFAULT_CSS = """
    HostGrid { width: 1fr; height: 1fr; overflow: hidden hidden; }
    """

    def __init__(self, *children: Widget, wants: Callable[[], Mapping[str, int]], id: str | None = None) -> None:
        super().__init__(*children, id=id)
        self._planned = _Planned()
        self._wants = wants
        self._last_wants: Mapping[str, int] = {}
        self.page = 0
        self.enlarged: str | None = None

    @property
    def layout(self) -> Layout:
        return self._planned

    def plan_for(self, size: Size) -> Plan:
        """The plan for a size."""
        self._last_wants = dict(self._wants())
        return plan(size.width, size.height, self._last_wants, page=self.page, enlarged=self.enlarged)

    @property
    def shown(self) -> Plan:
        """The plan for the present size."""
        return self.plan_for(self.size)

    def turn(self, step: int) -> Plan:
        """Show the next page of panels, or the one before."""
        self.enlarged = None
        self.page = (self.shown.page + step) % self.shown.pages
        self.arrange_again()
        return self.shown

    def enlarge(self, name: str | None) -> bool:
        """Give one panel all the room above the processes; the same one again, or None, takes it back."""
        name = None if name == self.enlarged else name
        if name is not None and (name == PROCESSES or name not in self._wants()):
            return False
        self.enlarged = name
        self.arrange_again()
        return True

    def arrange_again(self) -> None:
        """Place the children anew. A container forgets its arrangement when a child asks, not when it asks itself."""
        for child in self.children[:1]:
            child.refresh(layout=True)

    def reconsider(self) -> None:
        """Plan again where the panels want other sizes than before."""
        if dict(self._wants()) != self._last_wants:
            self.arrange_again()
