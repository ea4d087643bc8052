"""Processes read from a made /proc tree, and from the real one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cybercorp.monitors.process_files import ProcessReading
from cybercorp.monitors.process_source import TURNS, YOUNG, LinuxProcesses, boot_time_ms


def stat_line(pid: int, name: bytes, *, ticks: int = 100, start: int = 5000, flags: int = 0, state: str = "S") -> bytes:
    return b"%d (%s) %s 1 1 1 0 -1 %d 0 0 0 0 %d 0 0 0 20 0 3 0 %d 99 50 0 0\n" % (
        pid, name, state.encode(), flags, ticks, start,
    )  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "stat").write_bytes(b"cpu 1 2 3\nbtime 1700000000\n")
    (tmp_path / "sys").mkdir()
    return tmp_path


def put(tree: Path, pid: int, line: bytes, command: bytes = b"", io: bytes | None = None) -> None:
    folder = tree / str(pid)
    folder.mkdir(exist_ok=True)
    (folder / "stat").write_bytes(line)
    (folder / "cmdline").write_bytes(command)
    if io is not None:
        (folder / "io").write_bytes(io)


def only(readings: list[ProcessReading]) -> ProcessReading:
    (one,) = readings
    return one


def test_everything_about_a_process(tree: Path) -> None:
    """Who it is, what it uses, when it started."""
    put(tree, 42, stat_line(42, b"web server"), b"/bin/web\0--port\x0080\0", b"x: 1\nread_bytes: 10\nwrite_bytes: 20\n")
    read = only(LinuxProcesses(str(tree)).read())
    ticks = os.sysconf("SC_CLK_TCK")
    assert (read.pid, read.parent, read.name, read.command, read.state) == (
        42,
        1,
        "web server",
        "/bin/web --port 80",
        "S",
    )
    assert read.cpu_time_s == 100 / ticks
    assert read.rss_bytes == 50 * os.sysconf("SC_PAGE_SIZE")
    assert read.threads == 3
    assert read.io == (10, 20)
    assert read.started_at_ms == 1_700_000_000_000 + 5000 * 1000 // ticks


def test_the_command_line_is_read_again_when_the_name_changes(tree: Path) -> None:
    """exec makes another program of the same process."""
    processes = LinuxProcesses(str(tree))
    put(tree, 42, stat_line(42, b"sh"), b"sh\0")
    for _ in range(YOUNG):
        processes.read()
    put(tree, 42, stat_line(42, b"python3"), b"python3\0app.py\0")
    read = only(processes.read())
    assert (read.name, read.command) == ("python3", "python3 app.py")


def test_a_title_set_later_is_seen_in_its_turn(tree: Path) -> None:
    """Servers that write their state into their command line are read again within `TURNS` looks."""
    processes = LinuxProcesses(str(tree))
    put(tree, 42, stat_line(42, b"postgres"), b"postgres: idle\0")
    for _ in range(YOUNG + 1):
        processes.read()
    (tree / "42/cmdline").write_bytes(b"postgres: busy\0")
    seen = [only(processes.read()).command for _ in range(TURNS)]
    assert seen[-1] == "postgres: busy"
    assert "postgres: idle" in seen


def test_a_pid_used_again_is_another_process(tree: Path) -> None:
    """The start time tells them apart, even where the name is the same."""
    processes = LinuxProcesses(str(tree))
    put(tree, 42, stat_line(42, b"job"), b"job one\0")
    for _ in range(YOUNG + 1):
        first = only(processes.read())
    put(tree, 42, stat_line(42, b"job", start=6000), b"job two\0")
    second = only(processes.read())
    assert second.command == "job two"
    assert second.started_at_ms > first.started_at_ms


def test_kernel_threads_have_no_command_line(tree: Path) -> None:
    """Whatever their file says."""
    put(tree, 2, stat_line(2, b"kworker/0:1", flags=0x00200000), b"fake\0")
    assert only(LinuxProcesses(str(tree)).read()).command == ""


def test_a_zombie_keeps_the_command_it_had(tree: Path) -> None:
    """Its own is gone with its memory."""
    processes = LinuxProcesses(str(tree))
    put(tree, 42, stat_line(42, b"job"), b"job one\0")
    processes.read()
    put(tree, 42, stat_line(42, b"job", state="Z"), b"")
    read = only(processes.read())
    assert (read.state, read.command) == ("Z", "job one")


def test_processes_that_end_while_they_are_read_are_passed_over(tree: Path) -> None:
    """Folders without files, files without text, broken lines: the others are all there."""
    put(tree, 1, stat_line(1, b"init"), b"init\0")
    (tree / "2").mkdir()
    put(tree, 3, b"")
    put(tree, 4, b"4 (half")
    put(tree, 5, stat_line(5, b"ok"))
    (tree / "5/cmdline").unlink()
    (tree / "not-a-process").mkdir()
    assert [one.pid for one in LinuxProcesses(str(tree)).read()] == [1]


def test_a_megabyte_of_command_line_costs_a_kilobyte(tree: Path) -> None:
    """It is cut where it is read."""
    put(tree, 42, stat_line(42, b"x" * 15), b"\x1b[2J" * 250_000)
    assert len(only(LinuxProcesses(str(tree)).read()).command) == 1024


def test_without_a_boot_time_there_is_none(tmp_path: Path) -> None:
    """Zero, not an error."""
    assert boot_time_ms(str(tmp_path)) == 0
    (tmp_path / "stat").write_bytes(b"btime\n")
    assert boot_time_ms(str(tmp_path)) == 0


def test_this_process_among_the_real_ones() -> None:
    """What /proc says of the test itself."""
    (own,) = [one for one in LinuxProcesses().read() if one.pid == os.getpid()]
    assert own.parent == os.getppid()
    assert own.threads >= 1
    assert "pytest" in own.command or "python" in own.command
    assert own.started_at_ms > 1_500_000_000_000


def test_a_real_process_with_a_hostile_name_and_a_huge_command_line() -> None:
    """A program that calls itself by terminal escapes and parentheses is read as it is and cut."""
    program = (
        "import sys; open('/proc/self/comm', 'wb').write(b') \\x1b[31m (\\n');"
        "print('ready', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, "y" * 100_000], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        (read,) = [one for one in LinuxProcesses().read() if one.pid == child.pid]
        assert read.name == ") \x1b[31m (\n"
        assert len(read.command) <= 1024
        assert read.parent == os.getpid()
    finally:
        child.communicate(timeout=30)
