"""Bytes per sample on disk beside VictoriaMetrics after its merge: the half hour's recording of some hosts.

    python -m benchmarks.peer_storage [HOSTS] [SECONDS]

Both store the same values. Of ours every byte of the closed store counts: chunks, rollups, index, log, free pages. Of
the peer's folder data and index count after a forced merge and a clean end; its caches do not. Needs Debian's
victoria-metrics. Loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

from benchmarks.measure import Result, report
from benchmarks.peers import PEERS, running_peer
from benchmarks.remote_write import send
from benchmarks.storage_size import BAR, recorded_values, store_recording, table
from cybercorp.bench.recording import SERIES

SHARE = 0.9
PEER = next(one for one in PEERS if one.name == "VictoriaMetrics")
NOT_COUNTED = ("cache", "tmp", "flock.lock")
MERGED_S = 60


def theirs(hosts: int, seconds: int) -> dict[str, int]:
    """Bytes of the peer's folder by what is in it."""
    with running_peer(PEER) as running:
        found = asyncio.run(send(f"{running.url}/api/v1/write", running.pid, hosts, seconds, recorded_values()))
        if found["refused"]:
            raise SystemExit(f"{PEER.name} refused {found['refused']} requests")
        for step in ("force_flush", "force_merge"):
            urllib.request.urlopen(f"{running.url}/internal/{step}", timeout=60).read()
        _wait_until_merged(running.url)
        os.kill(running.pid, signal.SIGTERM)
        with contextlib.suppress(psutil.Error):
            psutil.Process(running.pid).wait(30)
        return {one.name: _bytes(one) for one in sorted((running.folder / "data").iterdir())}


def _wait_until_merged(url: str) -> None:
    deadline = time.monotonic() + MERGED_S
    while time.monotonic() < deadline:
        time.sleep(2)
        metrics = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
        active = [line for line in metrics.splitlines() if line.startswith(("vm_active_merges", "vm_active_force"))]
        if active and all(float(line.split()[-1]) == 0 for line in active):
            return
    raise SystemExit(f"{PEER.name} was still merging after {MERGED_S} s")


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


def measure(hosts: int = 8, seconds: int = 1800) -> list[Result]:
    parts = theirs(hosts, seconds)
    samples = hosts * seconds * SERIES
    for name, size in parts.items():
        print(f"{PEER.name}: {name:20} {size:12,} {size / samples:8.4f} B/sample", file=sys.stderr)
    peer = sum(size for name, size in parts.items() if name not in NOT_COUNTED) / samples
    with tempfile.TemporaryDirectory(prefix="cybercorp-bench-") as folder:
        sizes = store_recording(Path(folder), hosts, seconds)
    print(table(sizes), file=sys.stderr)
    work = f"disk, {hosts} hosts × {seconds // 60} min at 1 s"
    return [
        Result(work=work, figure=f"bytes per sample, {PEER.name} merged", value=peer, unit="B"),
        Result(work=work, figure="bytes per sample, rollups included", value=sizes.per_sample, unit="B",
               bar=peer * SHARE, peer=f"{SHARE} × {PEER.name}"),
        Result(work=work, figure="bytes per sample", value=sizes.per_sample, unit="B", bar=BAR),
        Result(work=work, figure="of it rollups, which the peer has not",
               value=sizes.parts["rollups"] / samples, unit="B"),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(report(measure(*map(int, sys.argv[1:]))))
