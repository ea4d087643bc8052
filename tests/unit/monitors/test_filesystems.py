"""Filesystem space: df's arithmetic, mounts that come, go, refuse and hang."""

import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cybercorp.monitors.filesystems import FilesystemsMonitor, space
from cybercorp.monitors.monitor import PartlyReadError
from cybercorp.monitors.settings import PSEUDO_FILESYSTEMS

Take = Callable[..., dict[str, float]]
ROOT = b"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
NFS = b"2 1 0:40 / /nfs rw - nfs4 filer:/export rw\n"


def answer(blocks: int = 1000, free: int = 300, available: int = 250, files: int = 100) -> os.statvfs_result:
    return os.statvfs_result((4096, 4096, blocks, free, available, files, 40, 40, 0, 255, 0))


class Filesystems:
    """Filesystems that answer, refuse, vanish or hang, as the test says."""

    def __init__(self) -> None:
        self.answers: dict[bytes, os.statvfs_result | OSError] = {}
        self.let_go = threading.Event()
        self.let_go.set()
        self.asked = threading.Semaphore(0)

    def statvfs(self, path: bytes) -> os.statvfs_result:
        if path.startswith(b"/nfs"):
            assert self.let_go.wait(30)
            self.asked.release()
        found = self.answers.get(path, answer())
        if isinstance(found, OSError):
            raise found
        return found


@pytest.fixture
def filesystems() -> Filesystems:
    return Filesystems()


def monitor_of(tmp_path: Path, table: bytes, filesystems: Filesystems, limit: int = 100) -> FilesystemsMonitor:
    (tmp_path / "mountinfo").write_bytes(table)
    return FilesystemsMonitor(
        PSEUDO_FILESYSTEMS, (), limit, 30.0, table=str(tmp_path / "mountinfo"), statvfs=filesystems.statvfs
    )


def changed(monitor: FilesystemsMonitor) -> None:
    """Have the monitor look at the table again, as the kernel does when it changed: plain files do not tell."""
    monitor.close()


def test_the_arithmetic_of_df() -> None:
    """Used counts what only root may still fill as not available: used/(used + available)."""
    used, free, reserved, utilization, limit, inodes_used, inodes_free = space(answer())
    assert (used, free, reserved, limit) == (700 * 4096, 250 * 4096, 50 * 4096, 1000 * 4096)
    assert utilization == round(700 / 950, 6)
    assert (inodes_used, inodes_free) == (60, 40)


def test_filesystems_without_blocks_or_inodes() -> None:
    """Btrfs has no fixed number of inodes, an empty filesystem no utilization: unknown, not zero."""
    found = space(answer(blocks=0, free=0, available=0, files=0))
    assert math.isnan(found[3])
    assert math.isnan(found[5])


def test_series_of_a_mount(tmp_path: Path, filesystems: Filesystems, take: Take) -> None:
    """Each mount is named by mountpoint, device and type."""
    read = take(monitor_of(tmp_path, ROOT, filesystems))
    assert read['system.filesystem.utilization{device="/dev/sda1",mountpoint="/",type="ext4"}'] == round(700 / 950, 6)
    assert len(read) == 7


def test_mounts_come_and_go(tmp_path: Path, filesystems: Filesystems, take: Take) -> None:
    """A new table is a new set of series; the same table again is not."""
    monitor = monitor_of(tmp_path, ROOT, filesystems)
    take(monitor)
    (tmp_path / "mountinfo").write_bytes(ROOT + b"3 1 8:2 / /data rw - xfs /dev/sda2 rw\n")
    changed(monitor)
    assert len(take(monitor)) == 14
    before = monitor.series
    changed(monitor)
    take(monitor)
    assert monitor.series is before
    (tmp_path / "mountinfo").write_bytes(ROOT)
    changed(monitor)
    assert len(take(monitor)) == 7


def test_a_mount_that_vanishes_between_listing_and_reading(
    tmp_path: Path, filesystems: Filesystems, take: Take
) -> None:
    """The table is looked at again before anything is called a failure."""
    monitor = monitor_of(tmp_path, ROOT + b"3 1 8:2 / /data rw - xfs /dev/sda2 rw\n", filesystems)
    assert len(take(monitor)) == 14
    filesystems.answers[b"/data"] = FileNotFoundError(2, "No such file or directory")
    (tmp_path / "mountinfo").write_bytes(ROOT)
    assert len(take(monitor)) == 7


def test_a_mount_that_gives_an_error_leaves_the_others_alone(
    tmp_path: Path, filesystems: Filesystems, take: Take
) -> None:
    """Its values are unknown, the monitor names it, and it recovers."""
    monitor = monitor_of(tmp_path, ROOT + b"3 1 8:2 / /data rw - xfs /dev/sda2 rw\n", filesystems)
    take(monitor)
    filesystems.answers[b"/data"] = OSError(5, "Input/output error")
    with pytest.raises(PartlyReadError, match="/data: Input/output error"):
        take(monitor)
    del filesystems.answers[b"/data"]
    assert all(value == value for value in take(monitor).values())


def test_mounts_out_of_reach_and_pseudo_ones_are_left_out(tmp_path: Path, filesystems: Filesystems, take: Take) -> None:
    """What this user may not see, and what has no blocks whatever its type, is not there."""
    filesystems.answers[b"/private"] = PermissionError(13, "Permission denied")
    filesystems.answers[b"/odd"] = answer(blocks=0)
    table = ROOT + b"3 1 8:2 / /private rw - xfs /dev/sda2 rw\n4 1 0:77 / /odd rw - newpseudofs none rw\n"
    assert len(take(monitor_of(tmp_path, table, filesystems))) == 7


def test_a_hung_network_mount_never_stalls_and_keeps_its_last_values(
    tmp_path: Path, filesystems: Filesystems, take: Take
) -> None:
    """First the last values, after 30 s none and a failure that names it, then recovery; at most one thread waits."""
    monitor = monitor_of(tmp_path, ROOT + NFS, filesystems)
    key = 'system.filesystem.usage{device="filer:/export",mountpoint="/nfs",state="used",type="nfs4"}'
    take(monitor, 1.0)
    assert filesystems.asked.acquire(timeout=10)
    filesystems.let_go.clear()
    take(monitor, 10.0)  # asks, and gets no answer any more
    threads = threading.active_count()
    assert take(monitor, 15.0)[key] == 700 * 4096
    with pytest.raises(PartlyReadError, match="/nfs: it has not answered for 45 s"):
        take(monitor, 55.0)
    assert threading.active_count() == threads
    filesystems.let_go.set()
    assert filesystems.asked.acquire(timeout=10)
    for thread in threading.enumerate():
        if thread.name == "monitor-mount":
            thread.join(10)
    assert take(monitor, 60.0)[key] == 700 * 4096


def test_a_mount_that_hangs_from_the_start_does_not_stop_the_start(
    tmp_path: Path, filesystems: Filesystems, take: Take
) -> None:
    """The first row comes without it."""
    filesystems.let_go.clear()
    read = take(monitor_of(tmp_path, ROOT + NFS, filesystems), 1.0)
    filesystems.let_go.set()
    assert sum(math.isnan(value) for value in read.values()) == 7


def test_hostile_mountpoints(tmp_path: Path, filesystems: Filesystems, take: Take) -> None:
    """Of two names that look alike as text one is left out, and the rest goes on; a limit cuts the users' mounts."""
    table = ROOT + b"3 1 8:2 / /a\xff rw - xfs d rw\n4 1 8:3 / /a\\134xff rw - xfs d rw\n"
    assert len(take(monitor_of(tmp_path, table, filesystems))) == 14
    long = b"3 1 8:2 / /" + b"x" * 3000 + b" rw - xfs d rw\n4 1 8:3 / /" + b"x" * 3000 + b"y rw - xfs d rw\n"
    read = take(monitor_of(tmp_path, ROOT + long, filesystems))
    assert len(read) == 21
    assert max(map(len, read)) < 400
    fuse = b"".join(b"9 1 0:%d / /a/%d rw - fuse.x y rw\n" % (90 + index, index) for index in range(50))
    monitor = monitor_of(tmp_path, fuse + ROOT, filesystems, limit=5)
    take(monitor)
    assert len(monitor.series) == 35
    assert monitor.series[0].attributes["mountpoint"] == "/"


def test_this_machines_mount_table_is_watched_by_the_kernel(take: Take) -> None:
    """Without a change the table is not parsed again."""
    monitor = FilesystemsMonitor(PSEUDO_FILESYSTEMS, (), 100, 30.0)
    take(monitor)
    before = monitor.series
    take(monitor)
    assert monitor.series is before
    monitor.close()
