"""`cybercorp ps`: the processes of hosts, now or at a past instant; which began and ended."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cybercorp.cli.groups import single
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time, short_time
from cybercorp.cli.output.formats import OutputFormat, on_terminal, shows_unicode, terminal_size
from cybercorp.cli.output.writers import remark, write_rows
from cybercorp.cli.parameters import AllHosts, Output, Selectors, past_ms
from cybercorp.cli.process_events import MOST_EVENTS, print_events
from cybercorp.cli.process_rows import ProcessRow, rows_of, sort_rows, tree_rows
from cybercorp.cli.selection import is_name, pick_hosts
from cybercorp.core.errors import InvalidInputError
from cybercorp.core.units import UNKNOWN, format_seconds
from cybercorp.protocol.processes import HostProcesses
from cybercorp.security.display import safe_text

if TYPE_CHECKING:
    from cybercorp.client.synchronous import Client

app = single("List the processes of hosts, now or at a past instant.")

_TALK_LINES = 4  # header, notes and the prompt below a table that fits the terminal


class ProcessSort(StrEnum):
    """What processes can be sorted by; amounts come largest first."""

    CPU = "cpu"
    MEMORY = "mem"
    IO = "io"
    TIME = "time"
    THREADS = "threads"
    PID = "pid"
    NAME = "name"
    USER = "user"
    STARTED = "started"


COLUMNS: tuple[Column[ProcessRow], ...] = (
    Column(key="pid", value=lambda row: row.pid, right=True),
    Column(key="user", value=lambda row: row.user, rank=2, flexible=True),
    Column(key="state", title="S", value=lambda row: row.state, rank=3),
    Column(
        key="cpu",
        title="CPU",
        value=lambda row: row.cpu,
        text=lambda row: UNKNOWN if row.cpu is None else f"{row.cpu * 100:.1f}%",
        right=True,
        style=lambda row: "bold red" if (row.cpu or 0) >= 0.9 else "yellow" if (row.cpu or 0) >= 0.5 else "",
    ),
    Column(key="rss_bytes", title="MEM", value=lambda row: row.rss_bytes, unit="By", right=True),
    Column(key="read_rate", title="READ", value=lambda row: row.read_rate, unit="By/s", right=True, rank=5),
    Column(key="write_rate", title="WRITE", value=lambda row: row.write_rate, unit="By/s", right=True, rank=5),
    Column(key="threads", title="THR", value=lambda row: row.threads, right=True, rank=4),
    Column(
        key="cpu_time_s",
        title="TIME",
        value=lambda row: row.cpu_time_s,
        text=lambda row: format_seconds(row.cpu_time_s),
        right=True,
        rank=4,
    ),
    Column(
        key="started_at",
        title="STARTED",
        value=lambda row: iso_time(row.started_at_ms),
        text=lambda row: short_time(row.started_at_ms, row.time_ms),
        rank=6,
    ),
    Column(
        key="command",
        value=lambda row: row.command or row.name,
        text=lambda row: row.branch + (row.command or f"[{row.name}]"),
        flexible=True,
    ),
    Column(key="name", value=lambda row: row.name, detail=True),
    Column(key="parent", value=lambda row: row.parent, detail=True),
    Column(key="read_bytes", value=lambda row: row.read_bytes, detail=True),
    Column(key="write_bytes", value=lambda row: row.write_bytes, detail=True),
    Column(key="time", value=lambda row: iso_time(row.time_ms), detail=True),
)
_HOST: Column[ProcessRow] = Column(key="host", value=lambda row: row.host, flexible=True)


@app.command()
def ps(
    context: typer.Context,
    hosts: Selectors = None,
    every: AllHosts = False,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="A past instant: '3m ago', 03:12, ISO 8601.")] = None,
    sort: Annotated[ProcessSort, typer.Option(help="The largest, or the first in order, on top.")] = ProcessSort.CPU,
    tree: Annotated[bool, typer.Option("--tree", "-t", help="Children under their parents.")] = False,
    events: Annotated[
        bool, typer.Option("--events", help="Which processes began and ended, instead of which there are.")
    ] = False,
    since: Annotated[str, typer.Option(metavar="TIME", help="With --events: from when on.")] = "1h",
    until: Annotated[str, typer.Option(metavar="TIME", help="With --events: until when.")] = "now",
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only processes with this in name or command line.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=0, help="At most this many; 0: all. A terminal shows one page.")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List the processes of hosts: live now, or as recorded at a past instant. The only host need not be named."""
    options = options_of(context)
    at_ms = past_ms(at, "--at") if at else None
    selectors = list(hosts or ())
    if events:
        if at is not None or tree:
            raise InvalidInputError("--events lists a span.", hint="Say --since and --until, and no --at or --tree.")
        span = (past_ms(since, "--since"), past_ms(until, "--until"))
        with options.client() as client:
            names = _names(client, selectors, every=every)
            answers = [client.processes.events(one, *span, name=name, limit=limit or MOST_EVENTS) for one in names]
        print_events(answers, output, options)
        return
    with options.client() as client:
        names = _names(client, selectors, every=every)
        tables = [client.processes.list(name, at_ms=at_ms) for name in names]
    rows = [row for table in tables for row in rows_of(table) if not name or name in row.name or name in row.command]
    rows = tree_rows(rows, sort, unicode=shows_unicode()) if tree else sort_rows(rows, sort)
    shown = rows[: _most(limit, output) or len(rows)]
    for table in tables:
        remark(_describe(table))
    columns = COLUMNS if len(tables) == 1 and output is OutputFormat.TABLE else (_HOST, *COLUMNS)
    write_rows(shown, columns, output, options, empty="No process is known.")
    if len(shown) < len(rows):
        remark(f"… and {len(rows) - len(shown)} more; show all with --limit 0.")


def _names(client: Client, selectors: list[str], *, every: bool) -> list[str]:
    if len(selectors) == 1 and not every and is_name(selectors[0]):
        return selectors
    if not selectors and not every:
        only = client.hosts.list(limit=2)
        if len(only) == 1:
            return [only[0].name]
    return [host.name for host in pick_hosts(client, selectors, every=every)]


def _most(limit: int | None, output: OutputFormat) -> int:
    if limit is not None:
        return limit
    if output is OutputFormat.TABLE and on_terminal():
        return max(terminal_size()[1] - _TALK_LINES, 5)
    return 0


def _describe(processes: HostProcesses) -> str:
    table = processes.table
    when = "now" if processes.live else f"recorded {local_time(table.timestamp_ms)}"
    part = f", the {len(table.pid)} busiest by CPU and memory" if table.partial else ""
    return f"{safe_text(processes.host)}: {table.total} processes, {when}{part}."
