"""Processes on the wire: one table per instant, stored and sent column by column."""

from __future__ import annotations

import msgspec


class ProcessTable(msgspec.Struct, frozen=True, kw_only=True):
    """The processes of a host at one instant; every list has one entry per process, in the same order.

    `cpu` is a ratio of one core over the last interval (2.0 = two cores busy), None where only one look is known;
    `cpu_time_s` is cumulative. `rss_bytes` is resident memory, `read_bytes`/`write_bytes` are cumulative
    storage I/O (None where the kernel does not tell), `read_rate`/`write_rate` bytes a second. `state` is one letter as
    in proc_pid_stat(5). `started_at_ms` and `pid` together name a process for its whole life. `total` counts all
    processes of the host, also those left out; `partial` says that the table is a selection (the top by CPU and
    memory that history keeps, or a cut to fit a message).
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


class HostProcesses(msgspec.Struct, frozen=True, kw_only=True):
    """A process table with the host it belongs to. `live` is True for a full table asked for just now."""

    host: str
    host_id: str
    live: bool
    table: ProcessTable
