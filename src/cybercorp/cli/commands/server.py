"""`cybercorp server`: run it, check its data, ask what it does."""

from __future__ import annotations

from typing import Annotated

import typer

from cybercorp.cli.commands.backups import register_backups
from cybercorp.cli.commands.preparations import register_preparations
from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import remark, say, tell, write_one
from cybercorp.cli.parameters import Output
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import StorageCorruptError
from cybercorp.core.units import UNKNOWN, format_bytes, format_decimal, format_seconds
from cybercorp.protocol.servers import ServerInfo
from cybercorp.security.display import safe_text

app = noun("Run, check, back up, restore and describe the server.")

COLUMNS: tuple[Column[ServerInfo], ...] = (
    Column(key="version", value=lambda info: info.version),
    Column(key="protocol", value=lambda info: info.protocol),
    Column(key="instance", value=lambda info: info.instance),
    Column(
        key="started_at",
        title="STARTED",
        value=lambda info: iso_time(info.started_at_ms),
        text=lambda info: f"{local_time(info.started_at_ms)} ({_since(info)} ago)",
    ),
    Column(key="hosts", value=lambda info: info.hosts),
    Column(key="agents_connected", title="AGENTS", value=lambda info: info.agents_connected),
    Column(key="viewers_connected", title="VIEWERS", value=lambda info: _whole(info, info.viewers_connected)),
    Column(
        key="samples_per_second",
        title="SAMPLES",
        value=lambda info: _whole(info, info.samples_per_second),
        text=lambda info: UNKNOWN if info.partial else f"{format_decimal(round(info.samples_per_second))}/s",
    ),
    Column(
        key="commit_p99_ms",
        title="COMMIT P99",
        value=lambda info: info.commit_p99_ms,
        text=lambda info: "–" if info.commit_p99_ms is None else f"{info.commit_p99_ms:.1f} ms",
    ),
    Column(
        key="samples_total",
        title="STORED",
        value=lambda info: _whole(info, info.storage.samples_total),
        text=lambda info: (
            f"{'' if info.partial else f'{format_decimal(info.storage.samples_total)} samples '}"
            f"since {local_time(info.storage.oldest_ms)}"
        ),
    ),
    Column(
        key="samples_bytes",
        title="SIZE",
        value=lambda info: _whole(info, info.storage.samples_bytes),
        text=lambda info: (
            UNKNOWN
            if info.partial
            else f"{format_bytes(info.storage.samples_bytes)} samples, "
            f"{format_bytes(info.storage.records_bytes)} records, {format_bytes(info.storage.free_bytes)} free"
        ),
    ),
    Column(
        key="raw_bytes",
        title="HISTORY",
        value=lambda info: _tier_bytes(info, "raw"),
        text=lambda info: ", ".join(f"{one.name} {format_bytes(one.size_bytes)}" for one in info.storage.tiers) or "–",
    ),
    Column(key="minutes_bytes", value=lambda info: _tier_bytes(info, "1m"), detail=True),
    Column(key="hours_bytes", value=lambda info: _tier_bytes(info, "1h"), detail=True),
    Column(key="processes_bytes", value=lambda info: _tier_bytes(info, "processes"), detail=True),
    Column(key="damaged", value=lambda info: _whole(info, info.storage.damaged), detail=True),
    Column(key="records_bytes", value=lambda info: _whole(info, info.storage.records_bytes), detail=True),
    Column(key="free_bytes", value=lambda info: _whole(info, info.storage.free_bytes), detail=True),
    Column(key="oldest_at", value=lambda info: iso_time(info.storage.oldest_ms), detail=True),
    Column(key="clock", value=lambda info: iso_time(info.clock_ms), detail=True),
)


def _tier_bytes(info: ServerInfo, name: str) -> float | None:
    return _whole(info, sum(one.size_bytes for one in info.storage.tiers if one.name == name))


def _whole(info: ServerInfo, value: float) -> float | None:
    """What is told of the server as a whole: unknown to whoever sees some of the hosts only."""
    return None if info.partial else value


def _since(info: ServerInfo) -> str:
    return format_seconds(max(0, info.clock_ms - info.started_at_ms) // 1000)


@app.command("info")
def server_info(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Show the server's version, load and storage."""
    options = options_of(context)
    with options.client() as client:
        info = client.server.info()
        remark(client.url)
    write_one(info, COLUMNS, output, options)


@app.command("run")
def run_server(
    context: typer.Context,
    host: Annotated[
        str | None,
        typer.Option("--listen", "--host", metavar="ADDRESS", help="Where to listen; 127.0.0.1 is this machine only."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65535, help="The port; 8765 without it.")
    ] = None,
) -> None:
    """Run the server in the foreground until Ctrl-C or SIGTERM. Other settings: server.toml, CYBERCORP_SERVER_…"""
    options = options_of(context)
    from cybercorp.cli.launch import programs

    data_dir = str(options.named_data_dir) if options.named_data_dir else None
    programs.run_server({"host": host, "port": port, "data_dir": data_dir})


@app.command("check")
def check_server(context: typer.Context) -> None:
    """Check the databases of this machine's server, every chunk of them. It may run meanwhile."""
    options = options_of(context)
    from cybercorp.cli.launch import backups

    began = SystemClock().monotonic()
    place = backups.place_of(options.data_dir)
    shown = safe_text(str(place), 300)
    remark(f"Checking the data in {shown}; a large history takes minutes …")
    problems = backups.check(place)
    if problems:
        for problem in problems:
            say(safe_text(problem, 500))
        raise StorageCorruptError(
            f"The data in {shown} has {len(problems)} problem{'s' if len(problems) > 1 else ''}.",
            hint="Damaged chunks are skipped and never answered wrong; move a damaged file away to start afresh.",
        )
    tell(f"The data in {shown} is in order ({SystemClock().monotonic() - began:.1f} s).")


register_backups(app)
register_preparations(app)
