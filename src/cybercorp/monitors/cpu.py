"""CPU time by state, in total and for each core, and the share in use, from /proc/stat (proc_stat(5)).

Read at every call. `user` and `nice` contain the time of guests, as in /proc/stat. The utilization is the share of the
time since the call before that was neither idle nor waiting for I/O.
"""

from __future__ import annotations

import os
from array import array

from cybercorp.monitors.held_files import SharedFile
from cybercorp.monitors.monitor import NAN, counter, gauge
from cybercorp.monitors.plan import TableReader, TokenPlan
from cybercorp.protocol.metrics import Series

STATES = ("user", "nice", "system", "idle", "iowait", "interrupt", "softirq", "steal")
_WIDTH = len(STATES)
_IDLE, _IOWAIT = STATES.index("idle"), STATES.index("iowait")
_DIGITS = 4  # finer than clock ticks tell; short decimals are stored small
SHORTEST_S = 0.1  # ten clock ticks: below that a utilization would be noise


def cpu_lines(text: bytes) -> bytes:
    """The part of /proc/stat about CPUs, without the line of interrupts that can have thousands of numbers."""
    end = text.find(b"\nintr ")
    return text if end < 0 else text[:end]


def plan_cpu(text: bytes, ticks_per_s: int) -> tuple[TokenPlan, tuple[str, ...]]:
    """The plan of the CPU lines, one row of `STATES` in seconds for each, and their names: `""` is the total.

    A line with fewer columns, as before Linux 2.6.11, is not taken. Raises ValueError where none is left.
    """
    reader = TableReader()
    rows: list[str] = []
    values: list[tuple[int, float]] = []
    for line in text.split(b"\n"):
        fields = line.split()
        if not fields:
            continue
        first = reader.line(fields, 0)
        name = fields[0]
        if name.startswith(b"cpu") and (name[3:].isdigit() or name == b"cpu") and len(fields) > _WIDTH:
            rows.append(name[3:].decode("ascii"))
            values += [(first + 1 + state, float(ticks_per_s)) for state in range(_WIDTH)]
    if not rows:
        raise ValueError("no line of /proc/stat tells CPU times")
    return TokenPlan(reader.count, reader.names, values), tuple(rows)


def cpu_series(rows: tuple[str, ...]) -> tuple[Series, ...]:
    """The series of the rows of `plan_cpu`: the times row by row, then one utilization each."""
    series = []
    for row in rows:
        for state in STATES:
            attributes = {"cpu": row, "state": state} if row else {"state": state}
            series.append(counter("system.cpu.time", "s", **attributes))
    for row in rows:
        attributes = {"cpu": row} if row else {}
        series.append(gauge("system.cpu.utilization", "1", **attributes))
    return tuple(series)


class CpuMonitor:
    name = "cpu"
    devices: tuple[str, ...] = ("cpu",)

    def __init__(self, stat: SharedFile, ticks_per_s: int | None = None) -> None:
        self.present = True
        self.series: tuple[Series, ...] = ()
        self._stat = stat
        self._ticks_per_s = ticks_per_s or os.sysconf("SC_CLK_TCK")
        self._plan = TokenPlan(-1, {}, ())
        self._rows: tuple[str, ...] = ()
        self._read_at = NAN
        self._totals: list[float] = []
        self._idles: list[float] = []
        self._utilization: array[float] = array("d")

    def read(self, values: array[float], start: int, now: float) -> bool:
        text = cpu_lines(self._stat.read(now))
        tokens = text.split()
        if not self._plan.matches(tokens):
            self._plan, rows = plan_cpu(text, self._ticks_per_s)
            if rows != self._rows:
                self._rows = rows
                self.series = cpu_series(rows)
                self._read_at = NAN
                return False
        self._plan.write(tokens, values, start)
        if not now - self._read_at < SHORTEST_S:
            self._measure(values, start, now)
        first = start + len(self._plan)
        values[first : first + len(self._utilization)] = self._utilization
        return True

    def _measure(self, values: array[float], start: int, now: float) -> None:
        """Take the utilization of every row over the time since the last measurement."""
        totals, idles, utilization = [], [], array("d")
        for row in range(len(self._rows)):
            first = start + row * _WIDTH
            total = sum(values[first : first + _WIDTH])
            idle = values[first + _IDLE] + values[first + _IOWAIT]
            totals.append(total)
            idles.append(idle)
            if self._read_at == self._read_at:
                spent = total - self._totals[row]
                # The kernel lets iowait, and after a hotplug everything, go backwards.
                share = 1.0 - (idle - self._idles[row]) / spent if spent > 0 else NAN
                utilization.append(round(min(1.0, max(0.0, share)), _DIGITS) if share == share else NAN)
            else:
                utilization.append(NAN)
        self._totals, self._idles, self._utilization, self._read_at = totals, idles, utilization, now

    def close(self) -> None:
        self._stat.close()
