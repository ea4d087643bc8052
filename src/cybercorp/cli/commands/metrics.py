"""`cybercorp metrics`: list what can be asked for, query it, and draw it."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from cybercorp.cli.aggregations import parse_aggregation, parse_grouping
from cybercorp.cli.answers import explain_empty, first_value_ms, print_answer
from cybercorp.cli.commands.metrics_export import export_metrics
from cybercorp.cli.completions import complete_metrics
from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, local_time
from cybercorp.cli.output.formats import OutputFormat, on_terminal, terminal_size
from cybercorp.cli.output.writers import remark, write_rows
from cybercorp.cli.parameters import AllHosts, HostsOption, Output, check_all, parse_span
from cybercorp.core.errors import InvalidInputError
from cybercorp.core.times import parse_duration_ms
from cybercorp.protocol.metrics import Downsample, MetricDescription, QueryAnswer, Ranking, parse_metric_selector

app = noun("List metrics; query them and draw them.")

_VALUES_SHOWN = 4
_POINTS_A_COLUMN = 4  # a character has two dots side by side, and a peak two sides
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
        typer.Option(
            metavar="HOW", help="avg, min, max, sum, last, count, rate, increase, p50, p95 …; counters: rate."
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", metavar="WHAT", help="Join series by host, cpu, device, …, label:env; repeatable."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="HOW", help="Join series by avg, sum, min, max, count, p95 …; with --by: avg.")
    ] = None,
    topk: Annotated[int | None, typer.Option("--topk", min=1, metavar="K", help="The K highest series.")] = None,
    bottomk: Annotated[int | None, typer.Option("--bottomk", min=1, metavar="K", help="The K lowest series.")] = None,
    rank: Annotated[Ranking, typer.Option(help="What --topk and --bottomk compare, over the span.")] = Ranking.AVG,
    hosts: HostsOption = None,
    every: AllHosts = False,
    width: Annotated[int | None, typer.Option(min=30, max=500, help="The plot's columns.")] = None,
    height: Annotated[int | None, typer.Option(min=6, max=200, help="The plot's lines.")] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Query a span of time: a plot on a terminal, a table on a pipe, data with -o."""
    options = options_of(context)
    selectors = check_all(hosts, every)
    start_ms, end_ms = parse_span(since, until)
    step_ms = parse_duration_ms(step) if step else None
    aggregation, quantile = parse_aggregation(agg)
    grouping, group_quantile = parse_grouping(group)
    if topk and bottomk:
        raise InvalidInputError("--topk and --bottomk exclude each other.", hint="Ask twice.")
    columns, lines = terminal_size()
    drawn = output is OutputFormat.TABLE and (on_terminal() or width is not None or height is not None)
    curve = drawn and step_ms is None
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
                points=max(30, ((width or columns) - 10) * (_POINTS_A_COLUMN if curve else 1)) if drawn else None,
                by=by or (),
                group=grouping,
                group_quantile=group_quantile,
                topk=topk,
                bottomk=bottomk,
                rank=rank if topk or bottomk else None,
                downsample=Downsample.MINMAXLTTB if curve else None,
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


app.command("export")(export_metrics)
