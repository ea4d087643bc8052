"""What a person may choose about the monitors: which run, how often, and what they leave out."""

from __future__ import annotations

import difflib
from collections.abc import Collection

import msgspec

from cybercorp.core.errors import SettingsError

# Every call (once a second) unless named here. These subjects change slowly, or are dear to read.
DEFAULT_INTERVALS_S = {"connections": 5.0, "filesystems": 5.0, "gpu": 5.0, "sensors": 10.0}

# What df calls dummies, and images that are always full. tmpfs is kept: a full /tmp or /dev/shm hurts.
PSEUDO_FILESYSTEMS = (
    "autofs", "binder", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "cramfs", "debugfs", "devpts",
    "devtmpfs", "efivarfs", "erofs", "fuse.gvfsd-fuse", "fuse.lxcfs", "fuse.portal", "fuse.snapfuse", "fusectl",
    "hugetlbfs", "iso9660", "mqueue", "none", "nsfs", "overlay", "proc", "pstore", "ramfs", "rootfs",
    "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "squashfs", "sysfs", "tracefs", "udf",
)  # fmt: skip


class MonitorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the monitors. Between two readings of a slow one its last value is repeated."""

    intervals_s: dict[str, float] = {}
    """Seconds between two readings, by monitor. Default: every sample; connections, filesystems, gpu 5; sensors 10."""

    disabled: tuple[str, ...] = ()
    """Monitors that do not run."""

    skip_disks: tuple[str, ...] = ("loop*", "ram*", "zram*", "fd[0-9]*", "sr[0-9]*", "nbd*")
    """Globs of block devices that are left out."""

    skip_interfaces: tuple[str, ...] = ()
    """Globs of network interfaces that are left out."""

    skip_mountpoints: tuple[str, ...] = ("/proc/*", "/sys/*")
    """Globs of mount points that are left out."""

    skip_filesystem_types: tuple[str, ...] = PSEUDO_FILESYSTEMS
    """Types of filesystems that are left out; an overlay is kept where it is `/`."""

    max_devices: int = 128
    """The most devices that one monitor reports."""

    hung_after_s: float = 30.0
    """A network mount that has not answered for so long has no values until it does."""

    def interval_s(self, monitor: str) -> float:
        """Seconds between two readings of `monitor`; 0 is every call."""
        return self.intervals_s.get(monitor, DEFAULT_INTERVALS_S.get(monitor, 0.0))

    def check(self, known: Collection[str]) -> None:
        """Raise SettingsError for a monitor that does not exist and for an interval that is no duration."""
        for name in (*self.intervals_s, *self.disabled):
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                raise SettingsError(
                    f"There is no monitor '{name[:80]}'.",
                    hint=f"Did you mean '{near[0]}'?" if near else f"The monitors are {', '.join(sorted(known))}.",
                )
        for name, interval in self.intervals_s.items():
            if not 0 <= interval <= 86_400:
                raise SettingsError(
                    f"The interval of the monitor '{name}' is {interval} s.",
                    hint="Use 0 (every time) to 86400 seconds.",
                )
        if not 1 <= self.max_devices <= 2000:
            raise SettingsError(f"max_devices is {self.max_devices}.", hint="Use 1 to 2000.")
