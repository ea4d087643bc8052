"""Starts and exits of processes, printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cybercorp.cli.options import Options
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import remark, write_rows
from cybercorp.core.units import UNKNOWN, format_seconds
from cybercorp.protocol.processes import ProcessEvent, ProcessEventKind, ProcessEvents
from cybercorp.security.display import safe_text

MOST_EVENTS = 1_000


class EventRow(NamedTuple):
    """One event with its host."""

    host: str
    event: ProcessEvent

    @property
    def lived_s(self) -> float | None:
        """How long it lived, as far as it is known."""
        if self.event.kind is not ProcessEventKind.EXITED:
            return None
        return max(0, (self.event.seen_at_ms or self.event.time_ms) - self.event.started_at_ms) / 1000


COLUMNS: tuple[Column[EventRow], ...] = (
    Column(key="time", value=lambda row: iso_time(row.event.time_ms), text=lambda row: local_time(row.event.time_ms)),
    Column(
        key="kind",
        title="WHAT",
        value=lambda row: str(row.event.kind),
        style=lambda row: "green" if row.event.kind is ProcessEventKind.STARTED else "",
    ),
    Column(key="pid", value=lambda row: row.event.pid, right=True),
    Column(key="user", value=lambda row: row.event.user, rank=2, flexible=True),
    Column(
        key="lived_s",
        title="LIVED",
        value=lambda row: row.lived_s,
        text=lambda row: UNKNOWN if row.lived_s is None else format_seconds(row.lived_s),
        right=True,
        rank=3,
    ),
    Column(
        key="cpu_time_s",
        title="CPU TIME",
        value=lambda row: row.event.cpu_time_s,
        text=lambda row: UNKNOWN if row.event.cpu_time_s is None else format_seconds(row.event.cpu_time_s),
        right=True,
        rank=4,
    ),
    Column(key="rss_bytes", title="MEM", value=lambda row: row.event.rss_bytes, unit="By", right=True, rank=5),
    Column(key="command", value=lambda row: row.event.command or row.event.name, flexible=True),
    Column(key="name", value=lambda row: row.event.name, detail=True),
    Column(key="parent", value=lambda row: row.event.parent, detail=True),
    Column(key="started_at", value=lambda row: iso_time(row.event.started_at_ms), detail=True),
)
_HOST: Column[EventRow] = Column(key="host", value=lambda row: row.host, flexible=True)


def print_events(answers: Sequence[ProcessEvents], output: OutputFormat, options: Options) -> None:
    """All events of all hosts in order of time; what is left out is said."""
    rows = [EventRow(one.host, event) for one in answers for event in one.events]
    rows.sort(key=lambda row: row.event.time_ms)
    columns = COLUMNS if len(answers) == 1 and output is OutputFormat.TABLE else (_HOST, *COLUMNS)
    empty = "No process began or ended in that span, as far as tables were recorded."
    write_rows(rows, columns, output, options, empty=empty)
    for one in answers:
        if one.unlisted:
            remark(f"{safe_text(one.host)}: {one.unlisted} more were too many for its agent to list.")
        if one.more:
            remark(f"{safe_text(one.host)}: there are more; shorten the span, or say --limit.")
