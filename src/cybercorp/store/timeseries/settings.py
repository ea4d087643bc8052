"""What can be set about the time-series store."""

from __future__ import annotations

import msgspec

DAY_MS = 86_400_000


class TimeSeriesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Retention and sizes. Ages are in milliseconds by the clock of the server, sizes in bytes on disk."""

    retention_ms: int = 14 * DAY_MS
    """Samples older than this are dropped."""

    processes_retention_ms: int = 14 * DAY_MS
    """Process tables older than this are dropped."""

    minutes_retention_ms: int = 90 * DAY_MS
    """Minutes (count, sum, minimum, maximum and last of each series) older than this are dropped."""

    hours_retention_ms: int = 730 * DAY_MS
    """Hours older than this are dropped."""

    max_bytes: int = 10 * 1024**3
    """When the database holds more than this the oldest rows are dropped; only then minutes, and last hours."""

    minutes_max_bytes: int | None = None
    """The oldest minutes are dropped when all take more than this; None: only `max_bytes` counts."""

    hours_max_bytes: int | None = None
    """The oldest hours are dropped when all take more than this; None: only `max_bytes` counts."""

    block_s: float = 60.0
    """Rows of a host wait this long in the log before they are sealed into a chunk."""

    head_raw_bytes: int = 192 * 1024**2
    """More unsealed rows than this are kept compressed in memory."""

    head_max_bytes: int = 512 * 1024**2
    """More unsealed rows than this are sealed by the writer itself, which slows the senders down."""
