"""`cybercorp metrics`: list what can be asked for, query it, and draw it."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from cybercorp.cli.answers import explain_empty, first_value_ms, print_answer
from cybercorp.cli.completions import complete_metrics
from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, local_time
from cybercorp.cli.output.formats import OutputFormat, on_terminal, terminal_size
from cybercorp.cli.output.writers import remark, write_rows
from cybercorp.cli.parameters import AllHosts, HostsOption, Output, check_all, past_ms
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import InvalidInputError, TimeExpressionError
from cybercorp.core.times import parse_duration_ms, parse_time_ms
from cybercorp.protocol.metrics import Aggregation, MetricDescription, QueryAnswer, parse_metric_selector

app = noun("List metrics; query them and draw them.")

_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")
_VALUES_SHOWN = 4
_MOST_LINES = 26  # a plot needs no more to be read, also in a terminal of 80 lines


def _attributes(metric: MetricDescription) -> str:
    shown = []
    for name, values in metric.attributes.items():
        some = ",".join(values[:_VALUES_SHOWN])
        shown.append(f"{name}={some}{',…' if len(values) > _VALUES_SHOWN else ''}")
    return " ".join(shown)


COLUMNS: tuple[Column[MetricDescription], ...] = (
    Column(key="alias", value=lambda metric: metric.alias, style=lambda metric: "bold cyan"),
    Column(key="name", value=lambda metric: metric.name, style=lambda metric: "bold", flexible=True),
    Column(key="unit", value=lambda metric: metric.unit),
    Column(key="kind", value=lambda metric: str(metric.kind), rank=2),
    Column(key="hosts", value=lambda metric: metric.hosts, right=True, rank=3),
    Column(key="series", value=lambda metric: metric.series, right=True, rank=3),
    Column(key="attributes", value=lambda metric: metric.attributes, text=_attributes, rank=4, flexible=True),
    Column(key="description", value=lambda metric: metric.description, rank=5, flexible=True),
)


@app.command("list")
def list_metrics(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[METRICS]...",
            help="Short names (cpu) or names (system.disk.*).",
            autocompletion=complete_metrics,
        ),
    ] = None,
    hosts: HostsOption = None,
    every: AllHosts = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List the metrics that hosts have, with units, short names and attributes."""
    options = options_of(context)
    selectors = check_all(hosts, every)
    wanted = [parse_metric_selector(name).name for name in names or ()]
    with options.client() as client:
        found = client.metrics.list(selectors or "*")
    if wanted:
        globs = [re.compile(re.escape(name).replace(r"\*", ".*").replace(r"\?", ".")) for name in wanted]
        found = [metric for metric in found if any(glob.fullmatch(metric.name) for glob in globs)]
    write_rows(found, COLUMNS, output, options, empty="No metric matches. List all with: cybercorp metrics")


@app.command("query")
def query_metrics(
    context: typer.Context,
    metrics: Annotated[
        list[str],
        typer.Argument(
            metavar="METRICS...", help="cpu, cores, mem, disk, io, net, load, … or 'system.disk.io{device=\"sda\"}'."
        ),
    ],
    since: Annotated[
        str, typer.Option(metavar="TIME", help="15m, '3h ago', 14:30, 'yesterday 03:00', ISO 8601.")
    ] = "15m",
    until: Annotated[str, typer.Option(metavar="TIME", help="The end of the span.")] = "now",
    step: Annotated[
        str | None, typer.Option(metavar="DURATION", help="10s, 5m; without it as fine as the width shows.")
    ] = None,
    agg: Annotated[
        str | None,
        typer.Option(metavar="HOW", help="avg, min, max, sum, last, count, rate, p50, p95, p99 …; counters: rate."),
    ] = None,
    hosts: HostsOption = None,
    every: AllHosts = False,
    width: Annotated[int | None, typer.Option(min=30, max=500, help="The plot's columns.")] = None,
    height: Annotated[int | None, typer.Option(min=6, max=200, help="The plot's lines.")] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Query a span of time: a plot on a terminal, a table on a pipe, data with -o."""
    options = options_of(context)
    selectors = check_all(hosts, every)
    start_ms, end_ms = _span(since, until)
    step_ms = parse_duration_ms(step) if step else None
    aggregation, quantile = parse_aggregation(agg)
    columns, lines = terminal_size()
    drawn = output is OutputFormat.TABLE and (on_terminal() or width is not None or height is not None)
    with options.client(timeout_s=30.0) as client:

        def ask(begin_ms: int) -> QueryAnswer:
            return client.metrics.query(
                *metrics,
                hosts=selectors or "*",
                since=begin_ms,
                until=end_ms,
                step=step_ms,
                aggregation=aggregation,
                quantile=quantile,
                points=max(30, (width or columns) - 10) if drawn else None,
            ).answer

        answer = ask(start_ms)
        begin_ms = first_value_ms(answer)
        if begin_ms is None and output is OutputFormat.TABLE:
            raise explain_empty(client, metrics, selectors, start_ms, end_ms)
        if drawn and begin_ms is not None and 2 * begin_ms > start_ms + end_ms:
            remark(f"The first values of this span are of {local_time(begin_ms)}.")
            answer = ask(begin_ms)
    size = (width or columns, height or min(lines - 2, _MOST_LINES)) if drawn else None
    print_answer(answer, output, options, size=size, how=agg)


def parse_aggregation(text: str | None) -> tuple[Aggregation | None, float | None]:
    """`p95` is the quantile 0.95; the others are as they are called. Raises InvalidInputError."""
    if text is None:
        return None, None
    percentile = _QUANTILE.fullmatch(text.strip().lower())
    if percentile:
        return Aggregation.QUANTILE, float(percentile.group(1)) / 100
    try:
        found = Aggregation(text.strip().lower())
    except ValueError:
        found = Aggregation.QUANTILE
    if found is Aggregation.QUANTILE:
        raise InvalidInputError(
            f"'{text[:40]}' is no aggregation.", hint="Use avg, min, max, sum, last, count, rate, or p50, p95, p99."
        )
    return found, None


def _span(since: str, until: str) -> tuple[int, int]:
    now_ms = SystemClock().now_ms()
    start_ms = past_ms(since, "--since", now_ms=now_ms)
    end_ms = parse_time_ms(until, now_ms=now_ms)
    if end_ms <= start_ms:
        raise TimeExpressionError(
            f"--until '{until[:60]}' is not after --since '{since[:60]}'.",
            hint="Name a later end, or leave --until out.",
        )
    return start_ms, end_ms
