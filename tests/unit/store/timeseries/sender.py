"""A process that writes until it is killed, and tells on standard output what it was promised.

    python -m tests.unit.store.timeseries.sender FOLDER HOSTS

Each line is `host seq` that `write` has returned for. Values follow from host and number, so that a reader can check
them. Every row is a minute later than the one before: half hours pass quickly, so the sealer merges too.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path

from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import StorageError, StorageFullError
from cybercorp.protocol.agents import RecordType
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.rows import StoredRow
from cybercorp.store.timeseries.settings import TimeSeriesSettings
from tests.unit.store.building import FIRST, START_MS, body_of

STEP_MS = 60_000
MAX_CALLS = 100_000


def value_of(host: int, seq: int) -> float:
    """What row `seq` of `host` holds."""
    return float(host * 1_000_003 + seq)


def row_of(host: int, seq: int) -> StoredRow:
    time = START_MS + seq * STEP_MS
    value = value_of(host, seq)
    return StoredRow(host, "s", seq, time, time, RecordType.SAMPLES, FIRST.id, body_of(value, -value))


def send(store: TimeSeries, hosts: int, rows: int, calls: int) -> None:
    """Write, and tell; stops when the disk is full, and goes on after any other error as the server does."""
    for host in range(1, hosts + 1):
        store.register_catalogue(host, FIRST)
    for _ in range(calls):
        made = [
            row_of(host, store.acked_seq(host, "s") + 1 + offset)
            for host in range(1, hosts + 1)
            for offset in range(rows)
        ]
        try:
            store.write(made)
        except StorageFullError:
            os.write(1, b"full\n")
            return
        except StorageError:
            os.write(1, b"failed\n")
            continue
        told = "".join(f"{host} {store.acked_seq(host, 's')}\n" for host in range(1, hosts + 1))
        os.write(1, told.encode())


def _seal_for_ever(store: TimeSeries) -> None:
    while True:
        with contextlib.suppress(StorageError):
            store.seal(everything=True)


def main(folder: str, hosts: str) -> None:
    store = TimeSeries.open(Path(folder) / "samples.db", TimeSeriesSettings(block_s=0.0), SystemClock())
    threading.Thread(target=_seal_for_ever, args=(store,), daemon=True).start()
    send(store, int(hosts), rows=3, calls=MAX_CALLS)


if __name__ == "__main__":
    main(*sys.argv[1:])
