"""`cybercorp events`: what happened, and what happens."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cybercorp.cli.groups import single
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat, on_terminal, shows_unicode
from cybercorp.cli.output.streams import RowStream
from cybercorp.cli.output.writers import say, write_rows
from cybercorp.cli.parameters import AllHosts, HostsOption, Limit, Output, check_all, past_ms
from cybercorp.cli.selection import is_name, pick_hosts
from cybercorp.core.errors import InvalidInputError
from cybercorp.core.units import UNKNOWN
from cybercorp.protocol.events import Event, EventKind, EventsPage, Severity

if TYPE_CHECKING:
    from cybercorp.client.synchronous import Client

app = single("List what happened, or follow it live.")

_PAGE = 500
_USUAL_LIMIT = 50
_SYMBOLS = {Severity.INFO: "●", Severity.WARNING: "▲", Severity.ERROR: "✖"}
_STYLES = {Severity.INFO: "", Severity.WARNING: "yellow", Severity.ERROR: "bold red"}


def _severity(event: Event) -> str:
    shown = on_terminal() and shows_unicode()
    return f"{_SYMBOLS[event.severity]} {event.severity}" if shown else str(event.severity)


COLUMNS: tuple[Column[Event], ...] = (
    Column(
        key="time", value=lambda event: iso_time(event.time_ms), text=lambda event: local_time(event.time_ms), width=19
    ),
    Column(
        key="severity",
        value=lambda event: str(event.severity),
        text=_severity,
        style=lambda event: _STYLES[event.severity],
        rank=1,
        width=9,
    ),
    Column(key="host", value=lambda event: event.host, text=lambda event: event.host or UNKNOWN, width=16),
    Column(key="kind", value=lambda event: event.kind, rank=2, width=18),
    Column(key="message", value=lambda event: event.message, flexible=True),
    Column(key="id", value=lambda event: event.id, detail=True),
    Column(key="host_id", value=lambda event: event.host_id, detail=True),
    Column(key="attributes", value=lambda event: event.attributes, detail=True),
)


@app.command()
def events(
    context: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens, until Ctrl-C.")] = False,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="15m, '3h ago', yesterday.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="The end of the span.")] = None,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", metavar="KIND", help="host.joined, samples.dropped …; repeatable.")
    ] = None,
    hosts: HostsOption = None,
    every: AllHosts = False,
    limit: Limit = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List events, oldest first: the last 50, or all of a span of time."""
    options = options_of(context)
    wanted = check_kinds(kinds or ())
    selectors = check_all(hosts, every)
    since_ms = past_ms(since, "--since") if since else None
    until_ms = past_ms(until, "--until") if until else None
    if follow and output is OutputFormat.JSON:
        raise InvalidInputError("An endless list is no JSON array.", hint="Use -o ndjson with --follow.")
    with options.client() as client:
        ids = None if not selectors else {host.id for host in pick_hosts(client, selectors)}
        one = selectors[0] if len(selectors) == 1 and is_name(selectors[0]) else None
        most = limit or (None if since_ms is not None else 10 if follow else _USUAL_LIMIT)
        found, page = _collect(client, wanted, one, ids, since_ms, until_ms, most)
        if not follow:
            write_rows(found, COLUMNS, output, options, empty="No event matches.")
            return
        stream = RowStream(COLUMNS, output, options)
        stream.write(found)
        after = page.events[-1].id if page.events else None
        for batch in _live(client, after, page.epoch):
            stream.write([event for event in batch if is_wanted(event, wanted, ids, selectors)])


def check_kinds(kinds: Sequence[str]) -> list[str]:
    """Kinds of events as they were written, or every kind of a noun (`host`). Raises InvalidInputError."""
    known = [str(kind) for kind in EventKind]
    found: list[str] = []
    for text in kinds:
        matching = [kind for kind in known if text in (kind, kind.partition(".")[0])]
        if not matching:
            raise InvalidInputError(f"'{text[:60]}' is no kind of event.", hint=f"Known: {', '.join(known)}.")
        found += matching
    return found


def _collect(
    client: Client,
    kinds: Sequence[str],
    host: str | None,
    ids: set[str] | None,
    since_ms: int | None,
    until_ms: int | None,
    most: int | None,
) -> tuple[list[Event], EventsPage]:
    """The newest `most` events of the selected hosts, None: all of the span; oldest first. And the newest page."""
    found: list[Event] = []
    before: int | None = None
    first: EventsPage | None = None
    while True:
        wanted = _PAGE if ids is not None or most is None else min(_PAGE, most - len(found))
        page = client.events.list(
            before=before,
            since_ms=since_ms,
            until_ms=until_ms,
            kinds=kinds,
            host=host,
            limit=wanted,
            newest=True,
        )
        first = first or page
        found[:0] = [event for event in page.events if ids is None or event.host_id in ids]
        enough = most is not None and len(found) >= most
        if enough or len(page.events) < wanted:
            return (found[-most:] if most is not None else found), first
        before = page.events[0].id


def is_wanted(event: Event, kinds: Sequence[str], ids: set[str] | None, selectors: Sequence[str]) -> bool:
    """Whether a live event was asked for. A glob also means hosts that join later."""
    if kinds and event.kind not in kinds:
        return False
    if ids is None or event.host_id in ids:
        return True
    return event.host is not None and any(fnmatch.fnmatchcase(event.host, one) for one in selectors)


def _live(client: Client, after: int | None, epoch: str) -> Iterator[list[Event]]:
    """Events as they happen; says when the connection goes and comes, and when something may be missing."""
    from cybercorp.client.inbox import ConnectionState
    from cybercorp.protocol.live import EventsUpdate, Subscribed

    away = False
    for update in client.live("events", after=after, epoch=epoch if after is not None else None, states=True):
        if isinstance(update, ConnectionState):
            if not update.connected:
                say(f"The connection is lost ({update.reason}); trying again.")
            elif away:
                say("Connected again.")
            away = not update.connected
        elif isinstance(update, Subscribed) and not update.resumed:
            say("Events of the time in between may be missing here; list them with --since.")
        elif isinstance(update, EventsUpdate):
            yield update.events
