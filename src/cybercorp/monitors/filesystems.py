"""Space and inodes of the mounted filesystems, read every 5 s; the last values are repeated in between.

Utilization is df's: used / (used + available to users). The mount table is parsed again only when the kernel says that
it changed. Filesystems that may never answer (network, FUSE) are asked in a thread each: while one does not answer it
keeps its last values, after `hung_after_s` it has none and the monitor says which it is.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from array import array
from collections.abc import Callable

from cybercorp.monitors.held_files import HeldFile
from cybercorp.monitors.monitor import NAN, PartlyReadError, attribute_text, gauge
from cybercorp.monitors.mounts import Mount, choose_mounts, parse_mounts
from cybercorp.protocol.metrics import Series

WIDTH = 7  # values of a mount: used, free, reserved, utilization, limit, inodes used, inodes free
_UNKNOWN = array("d", [NAN]) * WIDTH
_FIRST_WAIT_S = 0.2


def space(found: os.statvfs_result) -> array[float]:
    """The `WIDTH` values of a mount from statvfs(3); no inodes where the filesystem has no fixed number of them."""
    block = found.f_frsize or found.f_bsize
    used = (found.f_blocks - found.f_bfree) * block
    free = found.f_bavail * block
    reserved = max(0, found.f_bfree - found.f_bavail) * block
    utilization = round(used / (used + free), 6) if used + free > 0 else NAN  # short decimals are stored small
    inodes = (found.f_files - found.f_ffree, found.f_ffree) if found.f_files > 0 else (NAN, NAN)
    return array("d", (used, free, reserved, utilization, found.f_blocks * block, *inodes))


def filesystem_series(mounts: list[Mount]) -> tuple[Series, ...]:
    """`WIDTH` series for each mount, in the order of `space`."""
    series = []
    for mount in mounts:
        named = {
            "mountpoint": attribute_text(mount.mountpoint),
            "device": attribute_text(mount.device),
            "type": attribute_text(mount.type),
        }
        series += [
            gauge("system.filesystem.usage", "By", **named, state=state) for state in ("used", "free", "reserved")
        ]
        series.append(gauge("system.filesystem.utilization", "1", **named))
        series.append(gauge("system.filesystem.limit", "By", **named))
        series += [gauge("system.filesystem.inodes.usage", "{inode}", **named, state=one) for one in ("used", "free")]
    return tuple(series)


class _Probe:
    """Asks one mount that may never answer, in a thread that lives only as long as the question."""

    def __init__(self, path: bytes, statvfs: Callable[[bytes], os.statvfs_result]) -> None:
        self.values = _UNKNOWN
        self.error: OSError | None = None
        self.asked_at = 0.0
        self._path = path
        self._statvfs = statvfs
        self._answered = threading.Event()
        self._answered.set()

    @property
    def waiting(self) -> bool:
        return not self._answered.is_set()

    def ask(self, now: float) -> None:
        self.asked_at = now
        self._answered.clear()
        threading.Thread(target=self._run, name="monitor-mount", daemon=True).start()

    def wait(self, timeout_s: float) -> None:
        self._answered.wait(timeout_s)

    def _run(self) -> None:
        try:
            self.values, self.error = space(self._statvfs(self._path)), None
        except OSError as error:
            self.values, self.error = _UNKNOWN, error
        self._answered.set()


class FilesystemsMonitor:
    name = "filesystems"
    devices: tuple[str, ...] = ("mountpoint",)

    def __init__(
        self,
        skip_types: tuple[str, ...],
        skip_mountpoints: tuple[str, ...],
        limit: int,
        hung_after_s: float,
        *,
        table: str = "/proc/self/mountinfo",
        statvfs: Callable[[bytes], os.statvfs_result] = os.statvfs,
    ) -> None:
        self.present = True
        self.series: tuple[Series, ...] = ()
        self._skip_types = frozenset(skip_types)
        self._skip_mountpoints = skip_mountpoints
        self._limit = limit
        self._hung_after_s = hung_after_s
        self._statvfs = statvfs
        self._table = HeldFile(table)
        self._changes = select.poll()
        self._watched = -1
        self._mounts: list[Mount] | None = None
        self._probes: dict[bytes, _Probe] = {}

    def read(self, values: array[float], start: int, now: float) -> bool:
        if self._table_changed() and self._list(now):
            return False
        problems = []
        for index, mount in enumerate(self._mounts or ()):
            first = start + index * WIDTH
            try:
                values[first : first + WIDTH] = self._ask(mount, now)
            except OSError as error:
                values[first : first + WIDTH] = _UNKNOWN
                problems.append(f"{attribute_text(mount.mountpoint, 100)}: {error.strerror or error}")
        if problems:
            if self._list(now):
                return False  # it was unmounted just now
            raise PartlyReadError("; ".join(problems))
        return True

    def _ask(self, mount: Mount, now: float) -> array[float]:
        """The values of a mount; what was known before while it does not answer. Raises OSError."""
        if not mount.remote:
            return space(self._statvfs(mount.mountpoint))
        probe = self._probes[mount.mountpoint]
        if not probe.waiting:
            known, error = probe.values, probe.error
            probe.ask(now)
            # What another user mounted with FUSE is not for us to see, which is no fault.
            if error is not None and not isinstance(error, PermissionError):
                raise error
            return known
        waited = now - probe.asked_at
        if waited > self._hung_after_s:
            raise TimeoutError(f"it has not answered for {waited:.0f} s")
        return probe.values

    def _table_changed(self) -> bool:
        """True at the first look, and when the kernel has changed the table since it was read."""
        if self._watched < 0 or self._watched != self._table.fileno():
            return True
        return bool(self._changes.poll(0))

    def _list(self, now: float) -> bool:
        """Read the mount table; True when the mounts to watch are others than before."""
        text = self._table.read()
        self._watch(self._table.fileno())
        mounts = choose_mounts(parse_mounts(text), self._skip_types, self._skip_mountpoints)
        first = self._mounts is None
        known, self._probes = self._probes, {}
        kept: list[Mount] = []
        paths: set[str] = set()
        for mount in mounts:
            path = attribute_text(mount.mountpoint)
            if len(kept) >= self._limit or path in paths:
                continue
            if mount.remote:
                probe = known.get(mount.mountpoint) or _Probe(mount.mountpoint, self._statvfs)
                self._probes[mount.mountpoint] = probe
            elif self._is_nothing(mount):
                continue
            kept.append(mount)
            paths.add(path)
        if first:
            self._ask_first(now)
        changed = kept != self._mounts
        if changed:
            self._mounts = kept
            self.series = filesystem_series(kept)
        self.present = bool(kept)
        return changed

    def _ask_first(self, now: float) -> None:
        """At the start, wait a moment for mounts that answer promptly, so that the first row has them."""
        for probe in self._probes.values():
            probe.ask(now)
        for probe in self._probes.values():
            probe.wait(_FIRST_WAIT_S / len(self._probes))

    def _is_nothing(self, mount: Mount) -> bool:
        """True for a local filesystem without blocks, a pseudo one whatever its name (df's rule), or out of reach."""
        try:
            return self._statvfs(mount.mountpoint).f_blocks == 0
        except PermissionError:
            return True
        except OSError:
            return False

    def _watch(self, descriptor: int) -> None:
        """Have the kernel say when the table changes (it does so by an exceptional condition on the open file)."""
        if self._watched >= 0 and self._watched != descriptor:
            with contextlib.suppress(KeyError, OSError):
                self._changes.unregister(self._watched)
        with contextlib.suppress(OSError):
            self._changes.register(descriptor, select.POLLPRI)
        self._watched = descriptor

    def close(self) -> None:
        self._table.close()
        self._watched = -1
