"""The order of processes: by any column, equal rows by pid, unknown values last in either direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from cybercorp.protocol.processes import ProcessTable


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


_TEXTS = frozenset({ProcessSort.USER, ProcessSort.COMMAND})
_SUMMED = frozenset(
    {
        ProcessSort.CPU,
        ProcessSort.MEMORY,
        ProcessSort.THREADS,
        ProcessSort.READ,
        ProcessSort.WRITE,
        ProcessSort.IO,
    }
)
Text = Callable[[str, int], str]  # (column, row) to display-safe text


def ordered(table: ProcessTable, rows: Sequence[int], sort: ProcessSort, text: Text, *, descending: bool) -> list[int]:
    """`rows` in order."""
    by_pid = sorted(rows, key=table.pid.__getitem__)
    if sort in _TEXTS:
        return sorted(by_pid, key=names(table, sort, text).__getitem__, reverse=descending)
    values = numbers(table, sort)
    known = [row for row in by_pid if values[row] is not None]
    known.sort(key=lambda row: values[row] or 0.0, reverse=descending)
    return known + [row for row in by_pid if values[row] is None]


def names(table: ProcessTable, sort: ProcessSort, text: Text) -> list[str]:
    """What a text column is compared by: users, or programs without their folders."""
    if sort is ProcessSort.USER:
        return [text("user", row).casefold() for row in range(len(table.pid))]
    programs = [text("command", row).partition(" ")[0] for row in range(len(table.pid))]
    return [(name if name.startswith("[") else name.rpartition("/")[2]).casefold() for name in programs]


def numbers(table: ProcessTable, sort: ProcessSort) -> Sequence[float | None]:
    """The numeric column that a sort compares."""
    match sort:
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


def weights(table: ProcessTable, sort: ProcessSort) -> list[float] | None:
    """What a subtree adds up to; None for columns that make no sense as a sum."""
    return [float(value or 0.0) for value in numbers(table, sort)] if sort in _SUMMED else None
