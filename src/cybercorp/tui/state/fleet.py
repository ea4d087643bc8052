"""The fleet as a person looks at it: a window into thousands of sorted hosts, and the one that is selected.

Only the visible rows (and some around them) are ever asked for. The selection belongs to a host, not to a line:
when the order changes, the selected host stays selected, wherever it went.
"""

from __future__ import annotations

from typing import NamedTuple

from cybercorp.protocol.hosts import FleetCounts, HostSort, HostState, HostSummary, HostsWindow
from cybercorp.protocol.live import Subscribe, Topic
from cybercorp.protocol.selectors import parse_host_selector
from cybercorp.security.display import safe_text

SORTS = (
    HostSort.NAME,
    HostSort.STATE,
    HostSort.CPU,
    HostSort.MEMORY,
    HostSort.DISK,
    HostSort.NETWORK_RECEIVE,
    HostSort.NETWORK_TRANSMIT,
    HostSort.LOAD,
    HostSort.SEEN,
)
SORT_NAMES = {
    HostSort.NETWORK_RECEIVE: "net ↓",
    HostSort.NETWORK_TRANSMIT: "net ↑",
    HostSort.MEMORY: "mem",
}
_NAME_LIMIT = 64
_UNKNOWN_STEP = 255
_SIGNS = frozenset("*?[=<>!")


class FleetRow(NamedTuple):
    """One host, its texts made safe. `history` is CPU 0–1, oldest first, None unknown."""

    id: str
    name: str
    state: HostState
    seen_at_ms: int | None
    labels: str
    cpu: float | None
    memory: float | None
    disk: float | None
    network_receive: float | None
    network_transmit: float | None
    load: float | None
    top_process: str
    top_process_cpu: float | None
    history: tuple[float | None, ...]
    alerts: int


def make_row(summary: HostSummary) -> FleetRow:
    """A row of the protocol for the screen: here foreign text enters the dashboard."""
    labels = " ".join(f"{safe_text(k, 30)}={safe_text(v, 30)}" for k, v in sorted(summary.labels.items())[:8])
    return FleetRow(
        summary.id,
        safe_text(summary.name, _NAME_LIMIT),
        summary.state,
        summary.seen_at_ms,
        labels,
        summary.cpu,
        summary.memory,
        summary.disk,
        summary.network_receive,
        summary.network_transmit,
        summary.load,
        safe_text(summary.top_process or "", 40),
        summary.top_process_cpu,
        tuple(None if step == _UNKNOWN_STEP else step / 200 for step in summary.cpu_history),
        summary.alerts,
    )


class FleetModel:
    """What is asked for, what came, and what is selected. `top` is the first visible rank, `height` how many fit."""

    def __init__(self) -> None:
        self.sort = HostSort.NAME
        self.descending = False
        self.selector = ""
        self.problem = ""  # what is wrong with the selector
        self.top = 0
        self.height = 20
        self.counts = FleetCounts()
        self.timestamp_ms: int | None = None
        self.rows: dict[int, FleetRow] = {}
        self.pinned: FleetRow | None = None
        self.selected: str | None = None
        self.cursor = 0  # the rank of the selected host, as far as it is known
        self._asked: tuple[int, int] | None = None
        self._wanted_rank: int | None = None
        self.may_add = True  # a recording gets no new hosts
        self.on_add = False  # the cursor stands on the line after the last host, which adds one

    @property
    def known(self) -> bool:
        """Whether anything has come yet."""
        return self.timestamp_ms is not None

    @property
    def total(self) -> int:
        """How many hosts match."""
        return self.counts.total

    @property
    def selected_row(self) -> FleetRow | None:
        """The selected host: the one that was chosen, else the one under the cursor."""
        if self.selected is not None:
            found = self.rows.get(self.cursor)
            return found if found is not None and found.id == self.selected else self.pinned
        return self.rows.get(self.cursor)

    @property
    def stray(self) -> FleetRow | None:
        """The chosen host while a new order has carried it out of sight; its line then stands at the edge."""
        if self.selected is None or self.top <= self.cursor < self.top + self.height or self.cursor >= self.total:
            return None
        return self.selected_row

    def span(self) -> tuple[int, int]:
        """The offset and limit to ask for: the visible rows and half a screen on either side.

        It stays as it is while what is visible lies inside, so that scrolling by a line asks nothing.
        """
        asked = self._asked
        height = max(self.height, 1)
        if (
            asked is not None
            and asked[0] <= self.top
            and self.top + height <= asked[0] + asked[1] <= asked[0] + 4 * height
        ):
            return asked
        around = height // 2
        offset = max(self.top - around, 0)
        self._asked = (offset, self.top + height + around - offset)
        return self._asked

    def request(self) -> Subscribe:
        """The subscription that shows what is visible."""
        offset, limit = self.span()
        return Subscribe(
            subscription=0,
            topic=Topic.HOSTS,
            selector=self.selector or None,
            sort=self.sort,
            descending=self.descending,
            offset=offset,
            limit=limit,
            pinned=self.selected,
        )

    def take(self, window: HostsWindow) -> None:
        """A window has come. Rows outside it are forgotten: they are old by now."""
        self.timestamp_ms = window.timestamp_ms
        self.counts = window.counts
        self.problem = ""
        self.rows = {window.offset + index: make_row(one) for index, one in enumerate(window.rows)}
        self.pinned = None if window.pinned is None else make_row(window.pinned)
        wanted, self._wanted_rank = self._wanted_rank, None
        if wanted is not None and wanted in self.rows:
            self.selected = self.rows[wanted].id
            self.cursor = wanted
        elif self.selected is not None:
            self._follow(window.pinned_rank)
        self.cursor = self.total if self.on_add else min(self.cursor, max(self.total - 1, 0))

    def forget(self) -> None:
        """Another instant or server is shown: what was known does not hold."""
        self.timestamp_ms = None
        self.rows = {}
        self.pinned = None
        self.counts = FleetCounts()

    def move_to(self, rank: int) -> None:
        """Select the host of this rank; one that is not loaded yet is selected when it comes."""
        rank = max(min(rank, self.total if self.may_add else self.total - 1), 0)
        self.cursor = rank
        self.on_add = self.may_add and rank == self.total
        row = self.rows.get(rank)
        if row is not None:
            self.selected = row.id
        else:
            self.selected = None
            self._wanted_rank = None if self.on_add else rank
        if rank < self.top:
            self.top = rank
        elif rank >= self.top + self.height:
            self.top = rank - self.height + 1

    def scroll_to(self, top: int) -> None:
        """Show the rows from this rank on."""
        self.top = max(top, 0)

    def sort_by(self, sort: HostSort, descending: bool | None = None) -> None:
        """Sort by a column: names and states upwards, quantities with the largest first; again turns it around."""
        if descending is None:
            descending = not self.descending if sort is self.sort else sort not in (HostSort.NAME, HostSort.STATE)
        self.sort, self.descending = sort, descending

    def filter_by(self, selector: str) -> None:
        """Show the hosts that a selector matches; the first of them is selected.

        A bare word means every name that holds it, as in other tools' filters. Raises InvalidInputError.
        """
        wanted = " ".join(word if _SIGNS & set(word) else f"*{word}*" for word in selector.split())
        parse_host_selector(wanted)
        self.selector = wanted
        self.problem = ""
        self.selected = None
        self.cursor = self.top = 0
        self.on_add = False
        self._wanted_rank = None

    def _follow(self, pinned_rank: int | None) -> None:
        rank = next((rank for rank, row in self.rows.items() if row.id == self.selected), pinned_rank)
        if rank is None:
            # Gone, or it does not match any more: the cursor waits on a line that is seen.
            self.selected = None
            self.cursor = min(max(self.cursor, self.top), self.top + self.height - 1)
        else:
            self.cursor = rank


def next_sort(sort: HostSort) -> HostSort:
    """The order after this one."""
    return SORTS[(SORTS.index(sort) + 1) % len(SORTS)]


def sort_name(sort: HostSort) -> str:
    """A sort order for people."""
    return SORT_NAMES.get(sort, sort.value)
