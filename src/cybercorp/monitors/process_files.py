"""The texts of /proc/PID parsed (proc_pid_stat(5), proc_pid_io(5)). Pure functions; the bytes may be anything."""

from __future__ import annotations

from typing import NamedTuple

NAME_LIMIT = 256
COMMAND_LIMIT = 1024
_COMMAND_BYTES = COMMAND_LIMIT * 4 + 1  # the longest UTF-8 character has four bytes


class ProcessReading(NamedTuple):
    """One process now. `io` is cumulative (read, written) bytes of storage, None where the kernel does not tell."""

    pid: int
    parent: int
    name: str
    command: str
    user: str
    state: str
    cpu_time_s: float
    rss_bytes: int
    threads: int
    io: tuple[int, int] | None
    started_at_ms: int


class ProcessStat(NamedTuple):
    """What /proc/PID/stat says. Times are clock ticks, `start_ticks` since boot, `rss_pages` pages of memory."""

    name: bytes
    state: str
    parent: int
    cpu_ticks: int
    threads: int
    start_ticks: int
    rss_pages: int
    kernel: bool


_PF_KTHREAD = 0x00200000


def parse_process_stat(text: bytes) -> ProcessStat:
    """One line of /proc/PID/stat. Raises ValueError where it is none.

    The name stands in parentheses and may itself hold parentheses, blanks and newlines: it ends at the last one.
    """
    opening, closing = text.find(b"("), text.rfind(b")")
    fields = text[closing + 1 :].split(None, 22)
    if opening < 0 or closing < opening or len(fields) < 22:
        raise ValueError("not a line of /proc/PID/stat")
    return ProcessStat(
        name=text[opening + 1 : closing],
        state=fields[0][:1].decode("ascii", "replace"),
        parent=int(fields[1]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        threads=int(fields[17]),
        start_ticks=int(fields[19]),
        rss_pages=int(fields[21]),
        kernel=bool(int(fields[6]) & _PF_KTHREAD),
    )


def parse_process_io(text: bytes) -> tuple[int, int] | None:
    """Bytes that /proc/PID/io says were read from and written to storage; None where it does not say."""
    at_read, at_write = text.find(b"\nread_bytes: "), text.find(b"\nwrite_bytes: ")
    if at_read < 0 or at_write < 0:
        return None
    read = text[at_read + 13 : at_read + 34].split(b"\n", 1)[0]
    write = text[at_write + 14 : at_write + 35].split(b"\n", 1)[0]
    return (int(read), int(write)) if read.isdigit() and write.isdigit() else None


def process_name(raw: bytes) -> str:
    """A process name as it is, bytes that are no UTF-8 replaced, cut to 256 characters. Not safe to show as it is."""
    return raw[: NAME_LIMIT * 4].decode("utf-8", "replace")[:NAME_LIMIT]


def process_command(raw: bytes) -> str:
    """A command line with blanks between the arguments, cut to 1024 characters. Not safe to show as it is."""
    return raw[:_COMMAND_BYTES].rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")[:COMMAND_LIMIT].rstrip()
