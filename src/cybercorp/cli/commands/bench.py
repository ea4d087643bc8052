"""`cybercorp bench`: what a server bears, and what it costs."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cybercorp.cli.failures import FAILED
from cybercorp.cli.groups import single
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import say, write_one
from cybercorp.cli.parameters import Output
from cybercorp.core.times import parse_duration_ms
from cybercorp.core.units import UNKNOWN, format_bytes

if TYPE_CHECKING:
    from cybercorp.bench.results import BenchResult

app = single("Load a server with simulated agents and viewers, and measure it.")


class Speed(StrEnum):
    """`real`: one row an interval; `max`: as fast as rows are acknowledged."""

    REAL = "real"
    MAX = "max"


def _number(value: float | None, form: str, unit: str = "") -> str:
    return UNKNOWN if value is None else f"{value:{form}}{unit}"


COLUMNS: tuple[Column[BenchResult], ...] = (
    Column(key="agents", value=lambda one: one.agents, text=lambda one: f"{one.agents:,} × {one.series} series"),
    Column(key="viewers", value=lambda one: one.viewers),
    Column(key="speed", value=lambda one: one.speed),
    Column(key="seconds", value=lambda one: one.seconds, text=lambda one: f"{one.seconds:.1f} s"),
    Column(
        key="settled_s",
        title="UNTIL SEALED",
        value=lambda one: one.settled_s,
        text=lambda one: _number(one.settled_s, ".1f", " s"),
    ),
    Column(key="rows_sent", value=lambda one: one.rows_sent, text=lambda one: f"{one.rows_sent:,}"),
    Column(
        key="rows_acknowledged", value=lambda one: one.rows_acknowledged, text=lambda one: f"{one.rows_acknowledged:,}"
    ),
    Column(key="rows_refused", value=lambda one: one.rows_refused, text=lambda one: f"{one.rows_refused:,}"),
    Column(key="rows_stored", value=lambda one: one.rows_stored, text=lambda one: _number(one.rows_stored, ",")),
    Column(
        key="samples_per_s",
        title="THROUGHPUT",
        value=lambda one: one.samples_per_s,
        text=lambda one: f"{one.samples_per_s:,.0f} samples/s",
    ),
    Column(
        key="samples_per_cpu_s",
        title="SAMPLES PER CPU-SECOND",
        value=lambda one: one.samples_per_cpu_s,
        text=lambda one: _number(one.samples_per_cpu_s, ",.0f"),
    ),
    Column(
        key="server_cpu_s",
        title="SERVER CPU",
        value=lambda one: one.server_cpu_s,
        text=lambda one: (
            UNKNOWN
            if one.server_cpu_s is None
            else f"{one.server_cpu_s:.2f} s, {one.server_cpu_percent or 0:.0f} % of a core under load"
        ),
    ),
    Column(
        key="server_rss_bytes",
        title="SERVER MEMORY",
        value=lambda one: one.server_rss_bytes,
        text=lambda one: UNKNOWN if one.server_rss_bytes is None else f"{format_bytes(one.server_rss_bytes)} at most",
    ),
    Column(
        key="ack_p50_ms",
        title="ACKNOWLEDGED IN",
        value=lambda one: one.ack_p50_ms,
        text=lambda one: (
            " · ".join(
                f"{name} {_number(value, '.0f')}"
                for name, value in (("p50", one.ack_p50_ms), ("p99", one.ack_p99_ms), ("max", one.ack_max_ms))
            )
            + " ms"
        ),
    ),
    Column(key="ack_p99_ms", value=lambda one: one.ack_p99_ms, detail=True),
    Column(key="ack_max_ms", value=lambda one: one.ack_max_ms, detail=True),
    Column(
        key="delivery_p50_ms",
        title="DELIVERED IN",
        value=lambda one: one.delivery_p50_ms,
        text=lambda one: (
            f"p50 {_number(one.delivery_p50_ms, '.1f')} · p99 {_number(one.delivery_p99_ms, '.1f')} ms, "
            f"{one.updates_delivered:,} rows and {one.windows_delivered:,} windows"
            if one.viewers
            else UNKNOWN
        ),
    ),
    Column(key="delivery_p99_ms", value=lambda one: one.delivery_p99_ms, detail=True),
    Column(key="updates_delivered", value=lambda one: one.updates_delivered, detail=True),
    Column(key="windows_delivered", value=lambda one: one.windows_delivered, detail=True),
    Column(
        key="disk_bytes",
        title="DISK",
        value=lambda one: one.disk_bytes,
        text=lambda one: (
            UNKNOWN
            if one.disk_bytes is None
            else f"{format_bytes(one.disk_bytes)}, {_number(one.bytes_per_sample, '.3f')} bytes a sample"
        ),
    ),
    Column(key="bytes_per_sample", value=lambda one: one.bytes_per_sample, detail=True),
    Column(
        key="generator_cpu_s",
        title="GENERATOR CPU",
        value=lambda one: one.generator_cpu_s,
        text=lambda one: f"{one.generator_cpu_s:.2f} s",
        detail=True,
    ),
    Column(key="failures", value=lambda one: list(one.failures), detail=True),
)


@app.command()
def bench(
    context: typer.Context,
    agents: Annotated[int, typer.Option(metavar="N", min=1, max=100_000, help="Simulated agents.")] = 100,
    viewers: Annotated[int, typer.Option(metavar="N", min=0, max=10_000, help="Simulated viewers.")] = 0,
    seconds: Annotated[float, typer.Option(metavar="S", min=1, max=86_400, help="How long to send.")] = 30,
    interval: Annotated[str, typer.Option(metavar="TIME", help="How often each agent sends a row.")] = "1s",
    speed: Annotated[
        Speed, typer.Option(help="real: one row an interval; max: as fast as rows are acknowledged.")
    ] = Speed.REAL,
    window: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="With --speed max: rows of each agent on their way.")
    ] = 8,
    rows: Annotated[
        int, typer.Option(metavar="N", min=0, max=21_600, help="With --speed max: stop after so many rows an agent.")
    ] = 0,
    workers: Annotated[
        int, typer.Option(metavar="N", min=0, max=64, help="Processes that make the load; 0: one for 5,000 agents.")
    ] = 0,
    settle: Annotated[
        bool, typer.Option("--settle/--no-settle", help="Wait until everything is sealed, and count that too.")
    ] = True,
    database_url: Annotated[
        str | None, typer.Option(metavar="URL", help="PostgreSQL for the server that is started; empty: SQLite.")
    ] = None,
    foreign: Annotated[bool, typer.Option("--foreign", help="Load a server on another machine.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Load a server with simulated agents and viewers, and measure it.

    Without --url or --profile it starts a server of its own on loopback, with a temporary folder (below --data-dir
    where that is given), and measures its CPU and memory too. Hosts that join another server are removed again.
    """
    options = options_of(context)
    from cybercorp.bench.running import Load
    from cybercorp.cli.launch.bench import bench as run

    load = Load(
        agents=agents,
        viewers=viewers,
        seconds=seconds,
        interval_ms=parse_duration_ms(interval),
        window=window if speed is Speed.MAX else 0,
        rows=rows,
        workers=workers,
        settle=settle,
    )
    result = run(options, load, database_url=database_url, foreign=foreign)
    write_one(result, COLUMNS, output, options)
    for failure in result.failures[:5]:
        say(failure)
    if not result.whole:
        say("Not every row that was sent is acknowledged and stored.")
        raise typer.Exit(FAILED)
