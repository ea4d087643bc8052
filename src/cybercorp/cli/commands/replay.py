"""`cybercorp replay`: the dashboard at a past instant; or a recording, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from cybercorp.cli.groups import single
from cybercorp.cli.options import Options, options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import write_object, write_one
from cybercorp.cli.parameters import Output, past_ms
from cybercorp.cli.recorded import facts_of
from cybercorp.core.errors import InvalidInputError, TimeExpressionError
from cybercorp.core.times import parse_time_ms
from cybercorp.core.units import format_bytes, format_seconds
from cybercorp.security.display import safe_text

if TYPE_CHECKING:
    from cybercorp.client.recordings import RecordingInfo

app = single("Open the dashboard at a past instant, or a recording without a server.")

_SHOWN_HOSTS = 20
COLUMNS: tuple[Column[RecordingInfo], ...] = (
    Column(key="from", value=lambda info: iso_time(info.since_ms), text=lambda info: local_time(info.since_ms)),
    Column(key="to", value=lambda info: iso_time(info.until_ms), text=lambda info: local_time(info.until_ms)),
    Column(
        key="span",
        value=lambda info: (info.until_ms - info.since_ms) / 1000,
        text=lambda info: format_seconds((info.until_ms - info.since_ms) / 1000),
    ),
    Column(key="hosts", value=lambda info: len(info.hosts), text=lambda info: _names(info)),
    Column(
        key="samples", value=lambda info: info.samples, text=lambda info: f"{info.samples:,} of {info.series:,} series"
    ),
    Column(key="processes", value=lambda info: info.tables, text=lambda info: f"{info.tables:,} tables"),
    Column(key="events", value=lambda info: info.events, text=lambda info: f"{info.events:,}"),
    Column(key="size", value=lambda info: info.size_bytes, text=lambda info: format_bytes(info.size_bytes)),
    Column(
        key="made",
        value=lambda info: iso_time(info.made_at_ms),
        text=lambda info: f"{local_time(info.made_at_ms)} by CyberCorp {safe_text(info.made_by, 40)}",
    ),
)


@app.command()
def replay(
    context: typer.Context,
    path: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A recording that `cybercorp export incident` made.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="The instant: '3m ago', 03:12, ISO 8601.")] = None,
    info: Annotated[bool, typer.Option("--info", help="Say what the file holds, and open nothing.")] = False,
    headless: Annotated[
        bool, typer.Option("--headless", help="Serve the file on loopback, without dashboard.")
    ] = False,
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="With --headless: where; 0: any.")] = 0,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Open the dashboard at a past instant, or a recording without a server.

    A recording is opened read-only from a temporary folder; nothing else on this machine is touched.
    """
    options = options_of(context)
    if path is None:
        if info or headless:
            raise InvalidInputError("No recording was named.", hint="Name its file: cybercorp replay FILE")
        _replay_server(options, at)
    from cybercorp.client.recordings import read_recording

    found = read_recording(path.expanduser())
    if info:
        if output is OutputFormat.TABLE:
            write_one(found, COLUMNS, output, options)
        else:
            write_object(facts_of(found), output)
        return
    from cybercorp.cli.launch.replay import ReplayPlan
    from cybercorp.cli.launch.replay import replay as run

    plan = ReplayPlan(
        path=path.expanduser().absolute(),
        at_ms=_instant(at, found),
        since_ms=found.since_ms,
        until_ms=found.until_ms,
        rows=found.rows,
        headless=headless,
        port=port,
        folder=options.named_data_dir,
    )
    raise typer.Exit(run(plan))


def _replay_server(options: Options, at: str | None) -> NoReturn:
    if at is None:
        raise InvalidInputError(
            "Neither an instant nor a recording was named.",
            hint="cybercorp replay --at '3m ago', or: cybercorp replay FILE",
        )
    at_ms = past_ms(at, "--at")
    from cybercorp.cli.launch.programs import check_terminal, run_dashboard

    check_terminal("For scripts there is --at: cybercorp ps HOST --at '3m ago'")
    options.check_server_known()
    raise typer.Exit(run_dashboard(options.async_client, at_ms=at_ms))


def _instant(at: str | None, info: RecordingInfo) -> int:
    """Where a recording begins to be shown; a time of day belongs to its last day."""
    if at is None:
        return info.since_ms
    at_ms = parse_time_ms(at, now_ms=info.until_ms)
    if not info.since_ms <= at_ms <= info.until_ms:
        raise TimeExpressionError(
            f"--at '{at[:60]}' lies outside the recording.",
            hint=f"It goes from {local_time(info.since_ms)} to {local_time(info.until_ms)}.",
        )
    return at_ms


def _names(info: RecordingInfo) -> str:
    shown = ", ".join(safe_text(one.name, 60) for one in info.hosts[:_SHOWN_HOSTS])
    more = len(info.hosts) - _SHOWN_HOSTS
    return f"{shown} and {more} more" if more > 0 else shown
