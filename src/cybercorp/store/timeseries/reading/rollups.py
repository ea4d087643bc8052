"""History at a coarser tier: exact 1-minute and 1-hour intervals instead of rows, whatever of them is stored already.

What no rollup covers yet (unsealed rows, the last hours, late data) is read raw and combined, so that the answer is the
same whether a rollup exists or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from cybercorp.protocol.metrics import MetricKind
from cybercorp.store.timeseries.encoding.chunks import SAMPLES
from cybercorp.store.timeseries.reading.intervals import Flags, Intervals, combine
from cybercorp.store.timeseries.reading.pictures import take_picture
from cybercorp.store.timeseries.reading.rollup_reading import read_intervals, take_view
from cybercorp.store.timeseries.reading.row_matrix import ColumnsOf
from cybercorp.store.timeseries.rollup_index import HOURS, MINUTES
from cybercorp.store.timeseries.session import Session
from cybercorp.store.timeseries.state import State


class Tier(IntEnum):
    """How fine history is: every row, or one interval a minute, or one an hour."""

    RAW = 0
    MINUTE = 1
    HOUR = 2

    @property
    def step_ms(self) -> int:
        """The length of an interval; a step of a query that uses the tier is a multiple of it."""
        return (1, 60_000, 3_600_000)[self]

    @property
    def label(self) -> str:
        """Its name in an answer."""
        return ("raw", "1m", "1h")[self]


_KINDS = {Tier.MINUTE: MINUTES, Tier.HOUR: HOURS}


def tier_catalogues(state: State, host: int, tier: Tier, start_ms: int, end_ms: int) -> list[int]:
    """The numbers of the catalogues that have rows or intervals in `[start_ms, end_ms)`, in order of arrival."""
    if tier is Tier.RAW:
        picture = take_picture(state, host, SAMPLES, start_ms, end_ms)
        numbers = [one.catalogue for one in picture.entries] + [row.catalogue for row in picture.head]
        return list(dict.fromkeys(numbers))
    return take_view(state, host, _KINDS[tier], start_ms, end_ms).catalogues(start_ms, end_ms)


def read_tier(
    session: Session,
    state: State,
    host: int,
    tier: Tier,
    columns_of: ColumnsOf,
    keys: Sequence[str],
    start_ms: int,
    end_ms: int,
) -> Intervals:
    """The intervals of one host that begin in `[start_ms, end_ms)`, for the series `keys`, in their order.

    Both ends are multiples of `tier.step_ms`. Growth (of counters; gauges have NaN) reaches over gaps of at most
    LOOKBACK_MS. Raises ChunkGoneError (call it in `reading.look`) and StorageError; ValueError for the raw tier.
    """
    if tier is Tier.RAW:
        raise ValueError("rows are no intervals")
    kind = _KINDS[tier]
    view = take_view(state, host, kind, start_ms, end_ms)
    counters = counters_of(columns_of, view.catalogues(), keys)
    parts = read_intervals(session, state, view, kind, columns_of, keys, counters, (start_ms, end_ms))
    return combine(parts, tier.step_ms)


def counters_of(columns_of: ColumnsOf, numbers: Sequence[int], keys: Sequence[str]) -> Flags:
    """Which of the series only grow: [keys]. Of a series that changed its kind the last of the catalogues counts."""
    kinds = {one.key: one.series.kind for number in numbers for one in columns_of(number)}
    return np.array([kinds.get(key) is MetricKind.COUNTER for key in keys], dtype=bool)
