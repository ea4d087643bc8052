"""The process table as a person works with it: order, tree, filter, a selection that follows its process.

A row is an index into the columns of the newest table. Foreign text leaves this module display-safe, and only rows that
somebody looks at are turned into text.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.processes import ProcessTable
from cybercorp.security.display import safe_text
from cybercorp.tui.state.processes_activity import HISTORY_MS, Activity, ProcessKey
from cybercorp.tui.state.processes_filter import ProcessFilter, parse_process_filter
from cybercorp.tui.state.processes_order import ProcessSort, names, ordered, weights
from cybercorp.tui.state.processes_tree import TreeRow, ancestors, forest

_LIMITS = {"name": 80, "user": 40, "command": 600, "state": 8}
_FULL_LIMIT = 32_768


class ProcessModel:
    """Everything the process table shows, without a terminal."""

    def __init__(self) -> None:
        self.table = ProcessTable(timestamp_ms=0, total=0)
        self.known = False
        self.sort = ProcessSort.CPU
        self.descending = True
        self.tree = False
        self.filter = ProcessFilter("", ())
        self.filter_error: str | None = None
        self.rows: list[int] = []
        self.tree_rows: list[TreeRow] = []
        self.selected: ProcessKey | None = None
        self._selected_index = 0
        self._live = False
        self._collapsed: set[ProcessKey] = set()
        self._safe: dict[tuple[str, str], str] = {}
        self._activity = Activity()

    # what comes in

    def show(self, table: ProcessTable, *, live: bool) -> None:
        """Take over a table; a live one also becomes part of each process's CPU history."""
        self.table = table
        self.known = True
        self._live = live
        if len(self._safe) > 8 * len(table.pid) + 2000:
            self._safe.clear()
        if live:
            self._activity.add(table)
        self._arrange()

    def clear(self) -> None:
        """Nothing is known any more, for example because another instant is asked for."""
        self.table = ProcessTable(timestamp_ms=0, total=0)
        self.known = False
        self._arrange()

    def set_filter(self, text: str) -> bool:
        """Use a filter as it is typed. False, and the old one stays, while it cannot be read."""
        try:
            self.filter = parse_process_filter(text)
        except InvalidInputError as error:
            self.filter_error = error.message
            return False
        self.filter_error = None
        self._arrange()
        return True

    def sort_by(self, sort: ProcessSort) -> None:
        """Sort by a column; by the same one again turns the order round."""
        self.descending = not self.descending if sort is self.sort else sort.descends
        self.sort = sort
        self._arrange()

    def order_by(self, sort: ProcessSort, *, descending: bool) -> None:
        """Sort by a column in this direction."""
        if (sort, descending) != (self.sort, self.descending):
            self.sort, self.descending = sort, descending
            self._arrange()

    def toggle_tree(self) -> None:
        """Change between the flat list and the tree."""
        self.tree = not self.tree
        self._arrange()

    def toggle_collapsed(self, index: int, *, collapse: bool | None = None) -> bool:
        """Fold or unfold the subtree of a shown row; False where there is none."""
        if not self.tree or not 0 <= index < len(self.tree_rows) or not self.tree_rows[index].children:
            return False
        key = self.key(self.rows[index])
        folded = key in self._collapsed
        if collapse is folded:
            return False
        self._collapsed.symmetric_difference_update({key})
        self._arrange()
        return True

    # selection

    @property
    def selected_index(self) -> int | None:
        """Where the selected process stands in the shown rows; None when nothing is shown."""
        return self._selected_index if self.rows else None

    def select(self, index: int) -> None:
        """Select the process at a shown row, as near as there is one."""
        if not self.rows:
            return
        self._selected_index = min(max(index, 0), len(self.rows) - 1)
        self.selected = self.key(self.rows[self._selected_index])

    def select_parent(self) -> bool:
        """In the tree, go to the parent of the selected process."""
        if not self.tree or not self.rows:
            return False
        depth = self.tree_rows[self._selected_index].depth
        for index in range(self._selected_index - 1, -1, -1):
            if self.tree_rows[index].depth < depth:
                self.select(index)
                return True
        return False

    def release(self) -> None:
        """No process is selected: the first row is marked, whichever it is."""
        self.selected = None
        self._selected_index = 0

    # what is shown

    def key(self, row: int) -> ProcessKey:
        """The identity of the process in a row."""
        return self.table.pid[row], self.table.started_at_ms[row]

    def find(self, key: ProcessKey) -> int | None:
        """The row of a process in the newest table."""
        for row, pid in enumerate(self.table.pid):
            if pid == key[0] and self.table.started_at_ms[row] == key[1]:
                return row
        return None

    def text(self, field: str, row: int) -> str:
        """A text column, display-safe and short enough for a line."""
        raw = self._raw(field, row)
        safe = self._safe.get((field, raw))
        if safe is None:
            safe = self._safe[field, raw] = safe_text(raw, _LIMITS[field])
        return safe

    def full_command(self, row: int) -> str:
        """The whole command line, display-safe."""
        return safe_text(self._raw("command", row), _FULL_LIMIT)

    def number(self, field: str, row: int) -> float | None:
        """A numeric column; `cpu` in per cent of one core."""
        table = self.table
        match field:
            case "cpu":
                ratio = table.cpu[row]
                return None if ratio is None else ratio * 100
            case "rss":
                return float(table.rss_bytes[row])
            case "threads":
                return float(table.threads[row])
            case "pid":
                return float(table.pid[row])
            case "parent":
                return float(table.parent[row])
            case "read":
                return table.read_rate[row]
            case "write":
                return table.write_rate[row]
            case _:
                return None

    def parents(self, row: int) -> list[int]:
        """The rows of parent, grandparent and so on, as far as the table knows them."""
        return ancestors(row, self.table.pid, self.table.parent)

    def children(self, row: int) -> list[int]:
        """The rows of the direct children."""
        pid = self.table.pid[row]
        return [one for one, parent in enumerate(self.table.parent) if parent == pid and one != row]

    def activity(self, row: int, count: int, *, window_ms: int = HISTORY_MS) -> list[float | None]:
        """The process's CPU (ratio of a core) over the last minute in `count` steps; None where nobody watched."""
        return self._activity.steps(self.key(row), self.table.timestamp_ms, count, window_ms=window_ms)

    def _raw(self, field: str, row: int) -> str:
        table = self.table
        match field:
            case "name":
                return table.name[row]
            case "user":
                return table.user[row]
            case "state":
                return table.state[row]
            case _:
                # A kernel thread has no command line; brackets are how ps(1) says so.
                return table.command[row] or f"[{table.name[row]}]"

    def _arrange(self) -> None:
        table = self.table
        everything = range(len(table.pid))
        kept = [row for row in everything if self.filter.matches(self, row)] if self.filter else list(everything)
        if self.tree:
            self._arrange_tree(kept)
        else:
            self.tree_rows = []
            self.rows = ordered(self.table, kept, self.sort, self.text, descending=self.descending)
        self._place_selection()

    def _arrange_tree(self, kept: Sequence[int]) -> None:
        table = self.table
        weight = weights(table, self.sort)
        texts = None if weight is not None else self._sort_texts()
        pids = table.pid

        def sort_key(row: int) -> tuple[str, float]:
            return ("" if texts is None else texts[row], float(pids[row]))

        folded = {row for row in range(len(pids)) if self._collapsed and self.key(row) in self._collapsed}
        self.tree_rows = forest(
            pids,
            table.parent,
            sort_key=sort_key,
            weight=weight,
            heaviest_first=self.descending,
            keep=set(kept) if self.filter else None,
            collapsed=folded,
        )
        self.rows = [one.row for one in self.tree_rows]

    def _sort_texts(self) -> list[str]:
        return names(self.table, self.sort, self.text)

    def _place_selection(self) -> None:
        """Find the selected process among the shown rows. Only one that has ended gives its place to another."""
        if not self.rows or self.selected is None:
            self._selected_index = 0
            return
        found = self.find(self.selected)
        if found is not None:
            with contextlib.suppress(ValueError):  # filtered out, or folded away: the mark waits where it was
                self._selected_index = self.rows.index(found)
        self._selected_index = min(self._selected_index, len(self.rows) - 1)
        if found is None and self._live and not self.table.partial:
            self.select(self._selected_index)
