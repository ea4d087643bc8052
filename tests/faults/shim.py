"""Faults below a process: a wrong clock, a disk that fails to sync, a power cut (shim.c, loaded by LD_PRELOAD)."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

SECTOR = 512
_SOURCE = Path(__file__).with_name("shim.c")
_FIELDS = ("clock_offset_ns", "fail_from", "fail_count", "syncs", "failed")

needs_shim = pytest.mark.skipif(
    sys.platform != "linux" or not (shutil.which("cc") or os.environ.get("CI")), reason="needs Linux and a C compiler"
)


class Shim:
    """One faulty machine: run processes with `environment`, turn the knobs while they run.

    `watched` is the folder whose files are followed; what a power cut would leave of them lies in `durable`.
    """

    def __init__(self, folder: Path, watched: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.watched = watched.resolve()
        self.durable = (folder / "durable").resolve()
        self.durable.mkdir()
        self._control = folder / "control"
        self._control.write_bytes(bytes(8 * len(_FIELDS)))
        self._library = folder / "shim.so"
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(_SOURCE), "-ldl", "-lpthread"]
        subprocess.run(command, check=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to live on this machine."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAULT_CONTROL": str(self._control),
            "FAULT_ROOT": str(self.watched),
            "FAULT_DURABLE": str(self.durable),
        }

    def get(self, field: str) -> int:
        data = self._control.read_bytes()
        return int(struct.unpack_from("<q", data, 8 * _FIELDS.index(field))[0])

    def set(self, field: str, value: int) -> None:
        with self._control.open("r+b") as file:
            file.seek(8 * _FIELDS.index(field))
            file.write(struct.pack("<q", value))

    def shift_clock(self, seconds: float) -> None:
        """The wall clock of every process here is wrong by so much from now on."""
        self.set("clock_offset_ns", round(seconds * 1e9))

    def fail_syncs(self, *, after: int = 0, count: int = 1) -> None:
        """Of the syncs from now on, the first `after` succeed and the next `count` fail with EIO."""
        self.set("fail_count", count)
        self.set("fail_from", self.get("syncs") + after + 1)

    def cut_power(self, target: Path, chance: random.Random) -> None:
        """What is on the disk after a power cut (the processes are killed already), as a new folder `target`.

        What was synced is there. Of what was written later, each sector is there or not, as chance has it: a disk
        writes in the order it likes. Files that were never synced are there in part or not at all. A file that took
        another's place is the new one or the old one, until its folder was synced.
        """
        target.mkdir(parents=True)
        for path in sorted(self.watched.iterdir()):
            if path.name.endswith("-shm") or not path.is_file():
                continue  # shared memory is made anew
            live = path.read_bytes()
            kept_path, renamed = self.durable / path.name, self.durable / f"{path.name}.renamed"
            if renamed.exists():
                if chance.random() < 0.5:
                    kept_path = renamed
                elif kept_path.exists():
                    shutil.copy2(kept_path, target / path.name)
                    continue
                else:
                    continue
            if not kept_path.exists() and chance.random() < 0.5:
                continue
            kept = kept_path.read_bytes() if kept_path.exists() else b""
            made = bytearray(kept)
            reached = chance.choice([0.0, 0.0, 0.3, 0.7, 1.0])
            if reached:
                made = made.ljust(max(len(kept), len(live)) if chance.random() < 0.5 else len(kept), b"\0")
                for at in range(0, min(len(live), len(made)), SECTOR):
                    if chance.random() < reached:
                        part = live[at : at + SECTOR][: len(made) - at]
                        made[at : at + len(part)] = part
            (target / path.name).write_bytes(made)
            (target / path.name).chmod(path.stat().st_mode)
