"""Processes on the wire: one table per instant, stored and sent column by column."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class ProcessStart(msgspec.Struct, frozen=True, array_like=True):
    """A process that was not there at the look before. `command` is cut to 200 characters."""

    pid: int
    started_at_ms: int
    parent: int
    name: str
    command: str
    user: str


class ProcessExit(msgspec.Struct, frozen=True, array_like=True):
    """A process that is gone: when it was seen last (Unix ms), and what it had taken by then."""

    pid: int
    started_at_ms: int
    seen_at_ms: int
    cpu_time_s: float
    rss_bytes: int
    name: str


class ProcessChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Which processes began and ended since the table before, found by comparing whole tables.

    What began and ended between two looks was never seen. `unlisted` counts changes beyond those that are listed.
    """

    started: list[ProcessStart] = []
    exited: list[ProcessExit] = []
    unlisted: int = 0


class ProcessTable(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of a host at one instant; every list has one entry per process, in the same order.

    `cpu` is a ratio of one core over the last interval (2.0 = two cores busy), None where only one look is known;
    `cpu_time_s` is cumulative. `rss_bytes` is resident memory, `read_bytes`/`write_bytes` are cumulative
    storage I/O (None where the kernel does not tell), `read_rate`/`write_rate` bytes a second. `state` is one letter as
    in proc_pid_stat(5). `started_at_ms` and `pid` together name a process for its whole life. `total` counts all
    processes of the host, also those left out; `partial` says that the table is a selection (the top by CPU and
    memory that history keeps, or a cut to fit a message). `changes` comes with the tables that history keeps.
    """

    timestamp_ms: int
    total: int
    partial: bool = False
    pid: list[int] = []
    parent: list[int] = []
    name: list[str] = []
    command: list[str] = []
    user: list[str] = []
    state: list[str] = []
    cpu: list[float | None] = []
    cpu_time_s: list[float] = []
    rss_bytes: list[int] = []
    threads: list[int] = []
    read_bytes: list[int | None] = []
    write_bytes: list[int | None] = []
    read_rate: list[float | None] = []
    write_rate: list[float | None] = []
    started_at_ms: list[int] = []
    changes: ProcessChanges | None = None


class ProcessEventKind(StrEnum):
    STARTED = "started"
    EXITED = "exited"


class ProcessEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The start or the exit of one process.

    `time_ms` is the start itself, or the look at which the process was found gone; `seen_at_ms` of an exit is the look
    before. Command, user and parent are those of its start, where that is in the same answer or was recorded; CPU time
    and memory are known of an exit.
    """

    time_ms: int
    kind: ProcessEventKind
    pid: int
    name: str
    started_at_ms: int
    command: str | None = None
    user: str | None = None
    parent: int | None = None
    seen_at_ms: int | None = None
    cpu_time_s: float | None = None
    rss_bytes: int | None = None


class ProcessEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Starts and exits of a host's processes in a span, oldest first.

    `unlisted` counts those that its agent saw and did not list; `more` says that the span holds further ones after
    the last: ask again from its time.
    """

    host: str
    host_id: str
    events: list[ProcessEvent]
    unlisted: int = 0
    more: bool = False


class HostProcesses(msgspec.Struct, frozen=True, kw_only=True):
    """A process table with the host it belongs to. `live` is True for a full table asked for just now."""

    host: str
    host_id: str
    live: bool
    table: ProcessTable
