"""Files that stay open."""

import os
from pathlib import Path

import pytest

from cybercorp.monitors.held_files import HeldFile, SharedFile


def test_a_held_file_is_read_anew_each_time(tmp_path: Path) -> None:
    """The text is that of now, longer or shorter than before, over one descriptor."""
    path = tmp_path / "table"
    path.write_bytes(b"one")
    file = HeldFile(str(path))
    assert file.read() == b"one"
    descriptor = file.fileno()
    path.write_bytes(b"x" * 200_000)
    assert file.read() == b"x" * 200_000
    path.write_bytes(b"")
    assert file.read() == b""
    assert file.fileno() == descriptor
    file.close()


def test_a_kernel_table_longer_than_a_page_is_read_to_its_end() -> None:
    """The kernel hands out tables a page at a time; all of it is read."""
    file = HeldFile("/proc/self/smaps")
    text = file.read()
    file.close()
    assert len(text) > 8192
    assert text.endswith(b"\n")
    assert b"[stack]" in text


def test_a_file_that_vanishes_is_opened_again_when_it_is_back(tmp_path: Path) -> None:
    """An error is raised each time, and does not outlive its cause."""
    path = tmp_path / "gone"
    file = HeldFile(str(path))
    for _ in range(2):
        with pytest.raises(FileNotFoundError):
            file.read()
    path.write_bytes(b"back")
    assert file.read() == b"back"
    os.close(file.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.read()
    assert file.read() == b"back"
    file.close()
    file.close()


def test_a_shared_file_is_read_once_per_call(tmp_path: Path) -> None:
    """Monitors that share a file see the same text within one second's row."""
    path = tmp_path / "stat"
    path.write_bytes(b"first")
    file = SharedFile(str(path))
    assert file.read(1.0) == b"first"
    path.write_bytes(b"second")
    assert file.read(1.0) == b"first"
    assert file.read(2.0) == b"second"
    file.close()
