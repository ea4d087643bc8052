"""The process table of this machine: who runs, and what each took since the last look."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Sequence
from typing import Any, Protocol

from cybercorp.core.clock import Clock, SystemClock
from cybercorp.monitors.process_files import ProcessReading
from cybercorp.protocol.processes import ProcessChanges, ProcessExit, ProcessStart, ProcessTable

if sys.platform == "linux":
    from cybercorp.monitors.process_source import LinuxProcesses as MachineProcesses
else:
    from cybercorp.monitors.portable_processes import PortableProcesses as MachineProcesses

_START_TOLERANCE_MS = 2_000  # start times are derived from the boot time, which is known to a second only
_DIGITS = 4  # of a share of a core: a hundredth of a per cent; noise would cost bytes for ever
MAX_CHANGES = 200  # listed between two tables for history; more are counted
_COMMAND_LENGTH = 200
SHORTEST_S = 0.2  # twenty clock ticks: over less, shares of a core would be noise

COLUMNS = (
    "pid", "parent", "name", "command", "user", "state", "cpu", "cpu_time_s", "rss_bytes", "threads",
    "read_bytes", "write_bytes", "read_rate", "write_rate", "started_at_ms",
)  # fmt: skip


class ProcessSource(Protocol):
    """Where the readings come from."""

    def read(self) -> list[ProcessReading]: ...


class _Rates:
    """What a process had at the last look that counts, and its rates from then on."""

    __slots__ = ("cpu", "cpu_time_s", "io", "measured_at", "read_rate", "reading", "started_at_ms", "write_rate")

    def __init__(self, reading: ProcessReading, now: float) -> None:
        self.reading = reading
        self.measured_at = now
        self.started_at_ms = reading.started_at_ms
        self.cpu_time_s = reading.cpu_time_s
        self.io = reading.io
        self.cpu: float | None = None
        self.read_rate: float | None = None
        self.write_rate: float | None = None

    @classmethod
    def newborn(cls, reading: ProcessReading, born_after: float) -> _Rates:
        """Rates of a process that had nothing yet at `born_after`."""
        one = cls(reading, born_after)
        one.cpu_time_s = 0.0
        one.io = None if reading.io is None else (0, 0)
        return one

    def advance(self, reading: ProcessReading, now: float) -> None:
        elapsed_s = now - self.measured_at
        if elapsed_s < SHORTEST_S:
            return
        self.cpu = round(max(0.0, reading.cpu_time_s - self.cpu_time_s) / elapsed_s, _DIGITS)
        if reading.io is not None and self.io is not None:
            self.read_rate = float(round(max(0, reading.io[0] - self.io[0]) / elapsed_s))
            self.write_rate = float(round(max(0, reading.io[1] - self.io[1]) / elapsed_s))
        else:
            self.read_rate = self.write_rate = None
        self.cpu_time_s, self.io, self.measured_at = reading.cpu_time_s, reading.io, now


class ProcessScanner:
    """Looks at all processes. Not thread-safe: one caller."""

    def __init__(self, clock: Clock | None = None, source: ProcessSource | None = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._source: ProcessSource = source or MachineProcesses()
        self._rates: dict[int, _Rates] = {}
        self._looked: tuple[float, int] | None = None
        self._started: list[ProcessStart] = []
        self._exited: list[ProcessExit] = []
        self._unlisted = 0

    def scan(self, now_ms: int) -> ProcessTable:
        """All processes, sorted by pid. Shares and rates are over the time since the last scan.

        A process that was born since then took all it has in that time. They are None where only one look is known, and
        stay as they were where less than 0.2 s have passed.
        """
        readings = sorted(self._source.read())
        now = self._clock.monotonic()
        looked_at, looked_ms = self._looked or (now, now_ms)
        self._looked = (now, now_ms)
        rates = {}
        rows: list[tuple[Any, ...]] = []
        for reading in readings:
            one = self._rates.get(reading.pid)
            if one is None or one.started_at_ms != reading.started_at_ms:
                newborn = looked_at < now and reading.started_at_ms >= looked_ms - _START_TOLERANCE_MS
                one = _Rates.newborn(reading, looked_at) if newborn else _Rates(reading, now)
            if one.measured_at < now:
                one.advance(reading, now)
            one.reading = reading
            rates[reading.pid] = one
            read, written = reading.io or (None, None)
            rates_now = (read, written, one.read_rate, one.write_rate)
            rows.append((*reading[:6], one.cpu, *reading[6:9], *rates_now, reading.started_at_ms))
        if self._rates:
            self._note_changes(rates, looked_ms)
        self._rates = rates
        return _table(now_ms, rows)

    def take_changes(self) -> ProcessChanges | None:
        """Which processes began and ended over the scans since this was asked last; None for none."""
        if not self._started and not self._exited:
            return None
        changes = ProcessChanges(started=self._started, exited=self._exited, unlisted=self._unlisted)
        self._started, self._exited, self._unlisted = [], [], 0
        return changes

    def _note_changes(self, rates: dict[int, _Rates], looked_ms: int) -> None:
        for pid, one in rates.items():
            before = self._rates.get(pid)
            if before is None or before.started_at_ms != one.started_at_ms:
                self._note_start(one.reading)
        for pid, one in self._rates.items():
            after = rates.get(pid)
            if after is None or after.started_at_ms != one.started_at_ms:
                self._note_exit(one.reading, looked_ms)

    def _note_start(self, reading: ProcessReading) -> None:
        if len(self._started) >= MAX_CHANGES:
            self._unlisted += 1
            return
        command = reading.command[:_COMMAND_LENGTH]
        start = ProcessStart(reading.pid, reading.started_at_ms, reading.parent, reading.name, command, reading.user)
        self._started.append(start)

    def _note_exit(self, reading: ProcessReading, looked_ms: int) -> None:
        if len(self._exited) >= MAX_CHANGES:
            self._unlisted += 1
            return
        gone = ProcessExit(
            reading.pid, reading.started_at_ms, looked_ms, reading.cpu_time_s, reading.rss_bytes, reading.name
        )
        self._exited.append(gone)

    def top(self, table: ProcessTable, count: int = 20) -> ProcessTable:
        """The `count` processes with most CPU and the `count` with most memory, in the table's order.

        Where nothing is known about the CPU of the last interval, the time of the whole life decides.
        """
        everyone = range(len(table.pid))
        by_cpu = heapq.nlargest(count, everyone, key=lambda row: (table.cpu[row] or 0.0, table.cpu_time_s[row]))
        by_memory = heapq.nlargest(count, everyone, key=table.rss_bytes.__getitem__)
        return select_rows(table, sorted({*by_cpu, *by_memory}))


def select_rows(table: ProcessTable, rows: Sequence[int]) -> ProcessTable:
    """A partial table of the rows at these positions; `total` still counts everyone."""
    picked: dict[str, Any] = {column: [getattr(table, column)[row] for row in rows] for column in COLUMNS}
    return ProcessTable(timestamp_ms=table.timestamp_ms, total=table.total, partial=True, **picked)


def _table(now_ms: int, rows: Sequence[tuple[Any, ...]]) -> ProcessTable:
    """A full table from rows in the order of `COLUMNS`."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(COLUMNS)
    named: dict[str, Any] = dict(zip(COLUMNS, map(list, columns), strict=True))
    return ProcessTable(timestamp_ms=now_ms, total=len(rows), **named)
