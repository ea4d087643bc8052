"""Process tables as they come from a host: checked before anything reads them, and cut down to some rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from cybercorp.protocol.processes import ProcessTable

COLUMNS = (
    "pid",
    "parent",
    "name",
    "command",
    "user",
    "state",
    "cpu",
    "cpu_time_s",
    "rss_bytes",
    "threads",
    "read_bytes",
    "write_bytes",
    "read_rate",
    "write_rate",
    "started_at_ms",
)
_MEASURED = ("cpu", "read_rate", "write_rate", "cpu_time_s")


def sound(table: ProcessTable) -> ProcessTable | None:
    """The table with impossible numbers as unknown; None where its columns do not belong together.

    A broken or hostile agent must not stop the dashboard: columns of different lengths, NaN, negative rates.
    """
    if len({len(getattr(table, name)) for name in COLUMNS}) != 1:
        return None
    changed: dict[str, list[float | None]] = {}
    for name in _MEASURED:
        column: list[float | None] = getattr(table, name)
        # One comparison tells a good value from NaN, infinity and negative numbers.
        if not all(value is None or 0 <= value < math.inf for value in column):
            unknown = 0.0 if name == "cpu_time_s" else None
            changed[name] = [one if one is not None and 0 <= one < math.inf else unknown for one in column]
    return msgspec.structs.replace(table, **changed) if changed else table


def take(table: ProcessTable, rows: Sequence[int]) -> ProcessTable:
    """The same table with these rows only, marked as a selection."""
    columns = {name: [getattr(table, name)[row] for row in rows] for name in COLUMNS}
    return msgspec.structs.replace(table, partial=True, **columns)
