"""What each tier of the history takes. Pure functions over the chunk index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cybercorp.store.timeseries.encoding.chunks import PROCESSES, SAMPLES
from cybercorp.store.timeseries.rollup_index import HOURS, MINUTES
from cybercorp.store.timeseries.rows import TierStats
from cybercorp.store.timeseries.storage.contract import ChunkEntry

_NAMES = {SAMPLES: "raw", MINUTES: "1m", HOURS: "1h", PROCESSES: "processes"}


def tier_stats(entries: Iterable[ChunkEntry], widths: Mapping[int, int]) -> list[TierStats]:
    """One for each tier, in the order of `TimeSeriesStats.tiers`; `widths` counts the series of a catalogue."""
    of_kind: dict[int, list[ChunkEntry]] = {kind: [] for kind in _NAMES}
    for entry in entries:
        of_kind[entry.kind].append(entry)
    return [
        TierStats(
            name=name,
            chunks=len(of_kind[kind]),
            size_bytes=sum(one.size_bytes for one in of_kind[kind]),
            rows=sum(one.rows for one in of_kind[kind]),
            values=sum(one.rows * widths.get(one.catalogue, 0) for one in of_kind[kind]),
            oldest_ms=min((one.start_ms for one in of_kind[kind]), default=None),
            newest_ms=max((one.end_ms for one in of_kind[kind]), default=None),
        )
        for kind, name in _NAMES.items()
    ]
