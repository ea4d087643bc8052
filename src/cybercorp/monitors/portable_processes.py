"""All processes through psutil, for the systems that are not Linux."""

from __future__ import annotations

from typing import Any

import psutil

from cybercorp.monitors.process_files import COMMAND_LIMIT, NAME_LIMIT, ProcessReading

# The letters of proc_pid_stat(5) for psutil's words.
_STATES = {
    "running": "R", "sleeping": "S", "disk-sleep": "D", "stopped": "T", "tracing-stop": "t", "zombie": "Z",
    "dead": "X", "wake-kill": "K", "waking": "W", "idle": "I", "parked": "P", "locked": "L", "waiting": "S",
    "suspended": "T",
}  # fmt: skip
_FIELDS = ["ppid", "name", "username", "status", "cpu_times", "memory_info", "num_threads", "create_time"]


class PortableProcesses:
    """The processes that psutil can see. Command lines are kept for each process: on some systems they are dear."""

    def __init__(self) -> None:
        self._fields = [*_FIELDS, "io_counters"] if hasattr(psutil.Process, "io_counters") else _FIELDS
        self._commands: dict[tuple[int, float], str] = {}

    def read(self) -> list[ProcessReading]:
        """Every process that lives long enough to be read."""
        readings = []
        known, self._commands = self._commands, {}
        for process in psutil.process_iter(self._fields):
            found: dict[str, Any] = process.info
            key = (process.pid, found["create_time"] or 0.0)
            command = known[key] if key in known else _command(process)
            self._commands[key] = command
            times, memory, io = found["cpu_times"], found["memory_info"], found.get("io_counters")
            readings.append(
                ProcessReading(
                    pid=process.pid,
                    parent=found["ppid"] or 0,
                    name=(found["name"] or "")[:NAME_LIMIT],
                    command=command,
                    user=found["username"] or "",
                    state=_STATES.get(found["status"] or "", "?"),
                    cpu_time_s=times.user + times.system if times else 0.0,
                    rss_bytes=memory.rss if memory else 0,
                    threads=found["num_threads"] or 0,
                    io=(io.read_bytes, io.write_bytes) if io else None,
                    started_at_ms=round(key[1] * 1000),
                )
            )
        return readings


def _command(process: psutil.Process) -> str:
    """The command line cut to 1024 characters; empty where it may not be read."""
    try:
        return " ".join(process.cmdline())[:COMMAND_LIMIT]
    except (psutil.Error, OSError):
        return ""
