"""The mount table (proc_pid_mountinfo(5)) parsed, and the choice of the mounts worth watching. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

# Filesystems whose answer comes over a network or from a program, and may never come.
REMOTE_TYPES = frozenset(
    (
        "9p", "acfs", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "davfs", "gfs2", "glusterfs", "gpfs", "lustre",
        "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "pvfs2", "smb3", "smbfs", "virtiofs", "wekafs",
    )
)  # fmt: skip
_LOCAL_FUSE = frozenset(("fuseblk",))
_ESCAPE = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """A mounted filesystem. `device_number` (`8:1`) is the same for everything mounted from one filesystem."""

    mountpoint: bytes
    device: bytes
    type: str
    device_number: bytes
    options: tuple[bytes, ...]

    @property
    def remote(self) -> bool:
        """True where asking the filesystem may take for ever."""
        return self.type in REMOTE_TYPES or (self.type.startswith("fuse") and self.type not in _LOCAL_FUSE)


def parse_mounts(text: bytes) -> list[Mount]:
    """The mounts in the order they were made. Lines that are none are passed over."""
    mounts = []
    for line in text.split(b"\n"):
        # Optional fields, none or several, end with a lone hyphen.
        before, hyphen, after = line.partition(b" - ")
        fields, source = before.split(b" "), after.split(b" ")
        if not hyphen or len(fields) < 6 or len(source) < 2:
            continue
        mounts.append(
            Mount(
                mountpoint=_unescape(fields[4]),
                device=_unescape(source[1]),
                type=source[0].decode("utf-8", "backslashreplace"),
                device_number=fields[2],
                options=tuple(fields[5].split(b",")),
            )
        )
    return mounts


def choose_mounts(
    mounts: Iterable[Mount], skip_types: Collection[str], skip_mountpoints: Collection[str]
) -> list[Mount]:
    """What df would list: no pseudo filesystem, nothing that another mount hides, each filesystem once.

    Of several mounts of one filesystem the one with the shortest path is kept. An overlay is only of interest as the
    root of a container; a tmpfs that cannot be written has nothing to tell.
    """
    visible = {mount.mountpoint: mount for mount in mounts}
    chosen: dict[bytes, Mount] = {}
    for mount in visible.values():
        path = mount.mountpoint.decode("utf-8", "backslashreplace")
        skipped = mount.type in skip_types and not (mount.type == "overlay" and path == "/")
        if skipped or (mount.type == "tmpfs" and b"ro" in mount.options):
            continue
        if any(fnmatchcase(path, glob) for glob in skip_mountpoints):
            continue
        other = chosen.get(mount.device_number)
        if other is None or len(mount.mountpoint) < len(other.mountpoint):
            chosen[mount.device_number] = mount
    # Users may mount with FUSE: theirs come last, so that a limit cuts them and not the machine's own.
    return sorted(chosen.values(), key=lambda mount: (mount.remote, mount.mountpoint))


def _unescape(field: bytes) -> bytes:
    """Blanks, tabs, newlines and backslashes stand in the table as `\\040`, `\\011`, `\\012`, `\\134`."""
    if b"\\" not in field:
        return field
    return _ESCAPE.sub(lambda found: bytes([int(found.group(1), 8) & 255]), field)
