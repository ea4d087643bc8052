"""What a recording holds, in words and as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cybercorp.cli.output.columns import iso_time, local_time
from cybercorp.core.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from cybercorp.client.recordings import RecordingInfo


def numbers_of(info: RecordingInfo) -> str:
    """One line: hosts, span, what is in it, size."""
    count = len(info.hosts)
    return (
        f"{count} host{'s' if count != 1 else ''}, {local_time(info.since_ms)} – {local_time(info.until_ms)[11:]} "
        f"({format_seconds((info.until_ms - info.since_ms) / 1000)}), {info.samples:,} samples, "
        f"{info.tables:,} process tables, {info.events:,} events, {format_bytes(info.size_bytes)}"
    )


def facts_of(info: RecordingInfo) -> dict[str, Any]:
    """The same for programs."""
    return {
        "since": iso_time(info.since_ms),
        "until": iso_time(info.until_ms),
        "made_at": iso_time(info.made_at_ms),
        "made_by": info.made_by,
        "hosts": [
            {"id": one.id, "name": one.name, "labels": one.labels, "os": one.facts.os_description} for one in info.hosts
        ],
        "series": info.series,
        "rows": info.rows,
        "samples": info.samples,
        "process_tables": info.tables,
        "events": info.events,
        "size_bytes": info.size_bytes,
    }
