"""`run_recording`: serve a recording on loopback, read-only, from databases in a folder of its own."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from cybercorp.core.clock import Clock, SystemClock
from cybercorp.core.paths import ensure_private_dir
from cybercorp.server.log import write_lines
from cybercorp.server.main import SAMPLES_FILE, listen, serve_store
from cybercorp.server.opening import RECORDS_FILE
from cybercorp.server.settings import ServerSettings
from cybercorp.server.unpacking import unpack_recording
from cybercorp.store.records.database import Records
from cybercorp.store.timeseries.engine import TimeSeries
from cybercorp.store.timeseries.settings import TimeSeriesSettings

_FOR_EVER_MS = 1 << 50
_HOST = "127.0.0.1"


class StoppedClock:
    """The present of a recording is its last instant; durations pass as ever."""

    def __init__(self, now_ms: int, clock: Clock) -> None:
        self._now_ms = now_ms
        self._clock = clock

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic(self) -> float:
        return self._clock.monotonic()


def run_recording(path: Path, folder: Path, *, port: int = 0, tell: Callable[[float], None]) -> None:
    """Unpack the file into `folder` and serve it until SIGTERM or SIGINT. `tell` hears how far the unpacking is.

    Raises InvalidInputError for a file that is no recording or is damaged, VersionMismatchError, StorageErrors.
    """
    write_lines(sys.stderr)
    listener = listen(_HOST, port)
    try:
        asyncio.run(serve_recording(path, folder, listener, tell=tell))
    finally:
        listener.close()


async def serve_recording(
    path: Path,
    folder: Path,
    listener: socket.socket,
    *,
    stop: asyncio.Event | None = None,
    tell: Callable[[float], None] = lambda share: None,
) -> None:
    """As `run_recording`, in this event loop; `stop` ends it from within."""
    folder = ensure_private_dir(folder)
    settings = ServerSettings(host=_HOST, port=listener.getsockname()[1], data_dir=str(folder))
    limits = TimeSeriesSettings(retention_ms=_FOR_EVER_MS, processes_retention_ms=_FOR_EVER_MS, max_bytes=_FOR_EVER_MS)
    records = await Records.open(folder / RECORDS_FILE)
    try:
        store = await asyncio.to_thread(TimeSeries.open, folder / SAMPLES_FILE, limits, SystemClock())
        try:
            manifest = await unpack_recording(path, records, store, tell)
            clock = StoppedClock(manifest.until_ms, SystemClock())
            await serve_store(settings, listener, clock, records, store, folder, stop or asyncio.Event(), recorded=True)
        finally:
            await asyncio.to_thread(store.close)
    finally:
        await records.close()
