"""All processes of a Linux machine, straight from /proc.

What does not change (start time, kernel thread or not) is kept for each process; the command line and the user are read
again when the name changes (exec) and in turn: each process every `TURNS` looks, for titles and users set later.
A process whose /proc/PID/stat is byte for byte the one of the last look is not parsed again: most are idle.
"""

from __future__ import annotations

import os
import pwd

from cybercorp.monitors.process_files import (
    ProcessReading,
    ProcessStat,
    parse_process_io,
    parse_process_stat,
    process_command,
    process_name,
)

TURNS = 16
YOUNG = 3
_STAT_BYTES = 2048
_COMMAND_BYTES = 4097
_FLAGS = os.O_RDONLY | os.O_CLOEXEC


class _Known:
    """A process seen before: its last line and what was made of it."""

    __slots__ = ("command", "io_readable", "line", "looks", "name", "raw_name", "stat", "user")

    def __init__(self, line: bytes, stat: ProcessStat) -> None:
        self.line = line
        self.stat = stat
        self.raw_name = b""
        self.name = ""
        self.command = ""
        self.user = ""
        self.io_readable = True
        self.looks = 0


class LinuxProcesses:
    """The processes under `proc`. Not thread-safe."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._ticks_per_s = os.sysconf("SC_CLK_TCK")
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._boot_ms = boot_time_ms(proc)
        self._known: dict[int, _Known] = {}
        self._users: dict[int, str] = {}
        self._turn = 0

    def read(self) -> list[ProcessReading]:
        """Every process that lives long enough to be read."""
        readings = []
        known, self._known = self._known, {}
        self._turn = (self._turn + 1) % TURNS
        for entry in os.listdir(self._proc):  # noqa: PTH208 - names only; a Path for each process costs more than its reading
            if not entry.isdigit():
                continue
            try:
                reading = self._read_one(int(entry), known)
            except (OSError, ValueError):
                continue  # it ended between the listing and the reading
            readings.append(reading)
        return readings

    def _read_one(self, pid: int, known: dict[int, _Known]) -> ProcessReading:
        folder = f"{self._proc}/{pid}"
        line = _read(f"{folder}/stat", _STAT_BYTES)
        one = known.get(pid)
        if one is None or one.line != line:
            stat = parse_process_stat(line)
            if one is None or one.stat.start_ticks != stat.start_ticks:
                one = _Known(line, stat)
            one.line, one.stat = line, stat
        stat = one.stat
        self._known[pid] = one
        # A process just forked may still show its parent's command line: the first looks do not trust it.
        one.looks += 1
        if stat.name != one.raw_name or one.looks <= YOUNG or pid % TURNS == self._turn:
            self._describe(folder, one)
        return ProcessReading(
            pid,
            stat.parent,
            one.name,
            one.command,
            one.user,
            stat.state,
            stat.cpu_ticks / self._ticks_per_s,
            max(0, stat.rss_pages) * self._page_bytes,
            stat.threads,
            self._read_io(folder, one),
            self._boot_ms + stat.start_ticks * 1000 // self._ticks_per_s,
        )

    def _describe(self, folder: str, one: _Known) -> None:
        """Read what rarely changes: name, command line, user."""
        one.raw_name = one.stat.name
        one.name = process_name(one.raw_name)
        # Kernel threads have no command line, and neither have the dead: theirs is the last one that was seen.
        if not one.stat.kernel and one.stat.state not in "ZX":
            one.command = process_command(_read(f"{folder}/cmdline", _COMMAND_BYTES))
        # The folder belongs to the effective user, which is what ps calls USER.
        one.user = self._user(os.stat(folder).st_uid)  # noqa: PTH116
        one.io_readable = True

    def _read_io(self, folder: str, one: _Known) -> tuple[int, int] | None:
        if not one.io_readable:
            return None
        try:
            return parse_process_io(_read(f"{folder}/io", 512))
        except PermissionError:
            one.io_readable = False  # asked again in its turn
        except OSError:
            pass
        return None

    def _user(self, uid: int) -> str:
        name = self._users.get(uid)
        if name is None:
            try:
                name = pwd.getpwuid(uid).pw_name
            except KeyError:
                name = str(uid)
            self._users[uid] = name
        return name


def boot_time_ms(proc: str = "/proc") -> int:
    """When the machine started, in Unix milliseconds, to the second; 0 where /proc/stat does not tell."""
    try:
        with open(f"{proc}/stat", "rb") as file:  # noqa: PTH123
            for line in file:
                if line.startswith(b"btime "):
                    return int(line.split()[1]) * 1000
    except (OSError, ValueError, IndexError):
        pass
    return 0


def _read(path: str, size: int) -> bytes:
    descriptor = os.open(path, _FLAGS)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)
