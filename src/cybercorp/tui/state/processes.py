"""The process table as a person works with it: order, tree, filter, a selection that follows its process.

A row is an index into the columns of the newest table. Foreign text leaves this module display-safe, and only rows that
somebody looks at are turned into text.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Sequence
from enum import StrEnum

from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.processes import ProcessTable
from cybercorp.security.display import safe_text
from cybercorp.tui.state.processes_filter import ProcessFilter, parse_process_filter
from cybercorp.tui.state.processes_tree import TreeRow, ancestors, forest

HISTORY_MS = 60_000
_LIMITS = {"name": 80, "user": 40, "command": 600, "state": 8}
_FULL_LIMIT = 32_768

ProcessKey = tuple[int, int]  # (pid, started_at_ms): names a process for its whole life


class ProcessSort(StrEnum):
    """The columns that the table can be sorted by."""

    PID = "pid"
    USER = "user"
    COMMAND = "command"
    CPU = "cpu"
    MEMORY = "rss"
    THREADS = "threads"
    READ = "read"
    WRITE = "write"
    IO = "io"
    STARTED = "started"

    @property
    def descends(self) -> bool:
        """Whether the column is first sorted with the largest on top."""
        return self not in (ProcessSort.PID, ProcessSort.USER, ProcessSort.COMMAND)


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
        self._activity: dict[ProcessKey, deque[tuple[int, float]]] = {}
        self._ticks: deque[int] = deque(maxlen=240)

    # what comes in

    def show(self, table: ProcessTable, *, live: bool) -> None:
        """Take over a table; a live one also becomes part of each process's CPU history."""
        self.table = table
        self.known = True
        self._live = live
        if len(self._safe) > 8 * len(table.pid) + 2000:
            self._safe.clear()
        if live:
            self._remember(table)
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
        step = window_ms / count
        start = self.table.timestamp_ms - window_ms
        values: list[float | None] = [None] * count
        for tick in self._ticks:
            if tick > start:
                values[min(int((tick - start) / step), count - 1)] = 0.0
        began = self.table.started_at_ms[row]
        for timestamp_ms, cpu in self._activity.get(self.key(row), ()):
            if timestamp_ms > start:
                position = min(int((timestamp_ms - start) / step), count - 1)
                values[position] = max(values[position] or 0.0, cpu)
        for index in range(1, count):
            # Steps shorter than the interval of the tables have none of their own.
            if (
                values[index] is None
                and values[index - 1] is not None
                and any(one is not None for one in values[index : index + 1 + math.ceil(2500 / step)])
            ):
                values[index] = values[index - 1]
        return [None if start + (index + 1) * step < began else one for index, one in enumerate(values)]

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

    def _remember(self, table: ProcessTable) -> None:
        now = table.timestamp_ms
        if self._ticks and now <= self._ticks[-1]:
            if now == self._ticks[-1]:
                return
            self._ticks.clear()
            self._activity.clear()
        self._ticks.append(now)
        oldest = now - HISTORY_MS - 5_000
        while self._ticks and self._ticks[0] < oldest:
            self._ticks.popleft()
        # Only moments in which a process worked are kept: of 5,000 processes a few hundred ever do.
        for pid, started, cpu in zip(table.pid, table.started_at_ms, table.cpu, strict=True):
            if cpu is not None and cpu > 0:
                self._activity.setdefault((pid, started), deque(maxlen=240)).append((now, cpu))
        if len(self._ticks) % 16 == 0:
            for key in [key for key, seen in self._activity.items() if seen[-1][0] < oldest]:
                del self._activity[key]

    def _arrange(self) -> None:
        table = self.table
        everything = range(len(table.pid))
        kept = [row for row in everything if self.filter.matches(self, row)] if self.filter else list(everything)
        if self.tree:
            self._arrange_tree(kept)
        else:
            self.tree_rows = []
            self.rows = self._sorted(kept)
        self._place_selection()

    def _arrange_tree(self, kept: Sequence[int]) -> None:
        table = self.table
        weight = self._weights()
        texts = None if weight is not None else self._texts()
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

    def _sorted(self, rows: Sequence[int]) -> list[int]:
        """Rows in order; equal ones by pid, unknown values last in either direction."""
        pids = self.table.pid
        if self.sort in (ProcessSort.USER, ProcessSort.COMMAND):
            texts = self._texts()
            by_pid = sorted(rows, key=pids.__getitem__)
            return sorted(by_pid, key=texts.__getitem__, reverse=self.descending)
        values = self._numbers()
        known = sorted((row for row in rows if values[row] is not None), key=pids.__getitem__)
        known.sort(key=lambda row: values[row] or 0.0, reverse=self.descending)
        return known + sorted((row for row in rows if values[row] is None), key=pids.__getitem__)

    def _texts(self) -> list[str]:
        field = "user" if self.sort is ProcessSort.USER else "command"
        names = [self.text(field, row) for row in range(len(self.table.pid))]
        if field == "command":
            programs = [name.partition(" ")[0] for name in names]
            names = [name if name.startswith("[") else name.rpartition("/")[2] for name in programs]
        return [name.casefold() for name in names]

    def _numbers(self) -> Sequence[float | None]:
        table = self.table
        match self.sort:
            case ProcessSort.PID:
                return table.pid
            case ProcessSort.MEMORY:
                return table.rss_bytes
            case ProcessSort.THREADS:
                return table.threads
            case ProcessSort.READ:
                return table.read_rate
            case ProcessSort.WRITE:
                return table.write_rate
            case ProcessSort.IO:
                pairs = zip(table.read_rate, table.write_rate, strict=True)
                return [None if a is None and b is None else (a or 0.0) + (b or 0.0) for a, b in pairs]
            case ProcessSort.STARTED:
                return table.started_at_ms
            case _:
                return table.cpu

    def _weights(self) -> list[float] | None:
        """What a subtree adds up to; None for columns that make no sense as a sum."""
        if self.sort in (
            ProcessSort.CPU,
            ProcessSort.MEMORY,
            ProcessSort.THREADS,
            ProcessSort.READ,
            ProcessSort.WRITE,
            ProcessSort.IO,
        ):
            return [float(value or 0.0) for value in self._numbers()]
        return None

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
