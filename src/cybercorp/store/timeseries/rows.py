"""What goes into the time-series store and what comes out of it: plain tuples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cybercorp.protocol.metrics import MetricSelector, Series

MAX_TIMESTAMP_MS = 253_402_300_800_000  # the year 10000
MAX_SEQ = 1 << 62

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class StoredRow(NamedTuple):
    """One record of an agent's stream. `type` is RecordType; of an EVENT only its sequence number is kept here."""

    host: int
    stream: str
    seq: int
    timestamp_ms: int
    received_ms: int
    type: int
    catalogue: str
    body: bytes


class LatestRow(NamedTuple):
    """A row of samples: `body` is little-endian float64, one value for each series of the catalogue."""

    timestamp_ms: int
    catalogue: str
    body: bytes


class RefusedRow(NamedTuple):
    """A row that can never be stored; it counts as acknowledged, so that its agent does not send it for ever."""

    host: int
    stream: str
    seq: int
    reason: str


class WriteReport(NamedTuple):
    stored: int
    duplicates: int
    refused: list[RefusedRow]


class Selection(NamedTuple):
    """The series of one host that a query means."""

    host: int
    selector: MetricSelector


class SeriesResult(NamedTuple):
    """One series of an answer: `values` is float64[points], NaN where nothing is known."""

    host: int
    series: Series
    values: Floats


class Samples(NamedTuple):
    """Samples as they were stored: `timestamps` [rows] ascending, `values` [rows, series], NaN where there is none."""

    series: list[Series]
    timestamps: Integers
    values: Floats


class SealReport(NamedTuple):
    """What one call of `seal` did. `pending` says that more was due than one call does.

    `settled` counts stretches of hosts (four hours, days) that are over and were rolled up; `damaged` has a sentence
    for each chunk that was set aside.
    """

    hosts: int = 0
    rows: int = 0
    chunks: int = 0
    merged: int = 0
    trimmed: int = 0
    pending: bool = False
    settled: int = 0
    damaged: tuple[str, ...] = ()


class RetainReport(NamedTuple):
    """What one call of `retain` dropped: chunks, rows, bytes and the times they covered (None: nothing).

    `held` tells why nothing was dropped by age although something looks old enough; else it is empty.
    """

    chunks: int = 0
    rows: int = 0
    size_bytes: int = 0
    oldest_ms: int | None = None
    newest_ms: int | None = None
    held: str = ""


class TierStats(NamedTuple):
    """What one tier takes: `name` is raw, 1m, 1h or processes; `rows` are rows or intervals, `values` those
    of all series together. `oldest_ms` and `newest_ms` are None where the tier is empty.
    """

    name: str
    chunks: int
    size_bytes: int
    rows: int
    values: int
    oldest_ms: int | None
    newest_ms: int | None


class TimeSeriesStats(NamedTuple):
    """Sizes in bytes; `samples` counts values in chunks and in the log; `commit_p99_ms` is over the last 1,000.

    `tiers` are raw, 1m, 1h and processes, without what is in the log only.
    """

    file_bytes: int
    wal_bytes: int
    unused_bytes: int
    disk_free_bytes: int
    hosts: int
    chunks: int
    chunk_bytes: int
    samples: int
    head_rows: int
    head_bytes: int
    oldest_ms: int | None
    newest_ms: int | None
    damaged: int
    refused: int
    commits: int
    commit_p99_ms: float | None
    failed: str
    tiers: list[TierStats]
