"""Process tables as rows: sorted, or as a tree of parents and children."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from cybercorp.protocol.processes import HostProcesses

_AMOUNTS: dict[str, Callable[[ProcessRow], Any]] = {
    "cpu": lambda row: row.cpu or 0.0,
    "mem": lambda row: row.rss_bytes,
    "io": lambda row: (row.read_rate or 0.0) + (row.write_rate or 0.0),
    "time": lambda row: row.cpu_time_s,
    "threads": lambda row: row.threads,
}
_ORDERS: dict[str, Callable[[ProcessRow], Any]] = {
    "pid": lambda row: row.pid,
    "name": lambda row: row.name.lower(),
    "user": lambda row: row.user,
    "started": lambda row: row.started_at_ms,
}


class ProcessRow(msgspec.Struct, frozen=True, kw_only=True):
    """One process; see `ProcessTable` for units. `branch` is what a tree draws before its command."""

    host: str
    time_ms: int
    pid: int
    parent: int
    name: str
    command: str
    user: str
    state: str
    cpu: float | None
    cpu_time_s: float
    rss_bytes: int
    threads: int
    read_bytes: int | None
    write_bytes: int | None
    read_rate: float | None
    write_rate: float | None
    started_at_ms: int
    branch: str = ""


_FROM_TABLE = [name for name in ProcessRow.__struct_fields__ if name not in ("host", "time_ms", "branch")]


def rows_of(processes: HostProcesses) -> list[ProcessRow]:
    """The rows of one host's table; a column that is shorter than `pid` cuts the table there."""
    table = processes.table
    columns = [getattr(table, name) for name in _FROM_TABLE]
    return [
        ProcessRow(host=processes.host, time_ms=table.timestamp_ms, **dict(zip(_FROM_TABLE, values, strict=True)))
        for values in zip(*columns, strict=False)
    ]


def sort_rows(rows: Sequence[ProcessRow], key: str) -> list[ProcessRow]:
    """Amounts largest first, names and numbers ascending; ties by host and pid."""
    ordered = sorted(rows, key=lambda row: (row.host, row.pid))
    if key in _AMOUNTS:
        return sorted(ordered, key=_AMOUNTS[key], reverse=True)
    return sorted(ordered, key=_ORDERS[key])


def tree_rows(rows: Sequence[ProcessRow], key: str, *, unicode: bool = True) -> list[ProcessRow]:
    """Children under their parents, siblings sorted by `key`. A process whose parent is not listed is a root."""
    middle, end, down, blank = ("├─ ", "└─ ", "│  ", "   ") if unicode else ("|- ", "`- ", "|  ", "   ")
    ordered = sort_rows(rows, key)
    known = {(row.host, row.pid) for row in ordered}
    children: dict[tuple[str, int], list[ProcessRow]] = {}
    roots = []
    for row in ordered:
        parent = (row.host, row.parent)
        if parent in known and row.parent != row.pid:
            children.setdefault(parent, []).append(row)
        else:
            roots.append(row)
    found: list[ProcessRow] = []
    # A stack instead of recursion: a hostile host may report a chain of ten thousand parents.
    pending = [(row, "", "") for row in reversed(roots)]
    while pending:
        row, branch, indent = pending.pop()
        found.append(msgspec.structs.replace(row, branch=branch))
        below = children.pop((row.host, row.pid), [])
        for index in reversed(range(len(below))):
            last = index == len(below) - 1
            pending.append((below[index], indent + (end if last else middle), indent + (blank if last else down)))
    # What is left belongs to circles of parents, which only a hostile or torn table has.
    seen = {(row.host, row.pid) for row in found}
    return found + [row for row in ordered if (row.host, row.pid) not in seen]
