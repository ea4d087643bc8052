"""`cybercorp metrics export`: samples as CSV, NDJSON, Parquet, or a SQLite file for Datasette."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from cybercorp.cli.aggregations import parse_aggregation
from cybercorp.cli.completions import complete_metrics
from cybercorp.cli.options import options_of
from cybercorp.cli.output.exports import (
    ExportWriter,
    FileFormat,
    TextWriter,
    check_parquet,
    format_of,
    open_writer,
)
from cybercorp.cli.output.progress import progress_bar
from cybercorp.cli.output.writers import say, tell
from cybercorp.cli.parameters import AllHosts, HostsOption, check_all, parse_span
from cybercorp.client.new_files import new_file
from cybercorp.core.errors import InvalidInputError
from cybercorp.core.times import parse_duration_ms
from cybercorp.security.display import safe_text

_STDOUT = Path("-")


def export_metrics(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A .csv, .ndjson, .parquet or .db (SQLite) file; - is stdout.")],
    metrics: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[METRICS]...",
            help="Short names or selectors; every series without.",
            autocompletion=complete_metrics,
        ),
    ] = None,
    since: Annotated[str, typer.Option(metavar="TIME", help="15m, '3h ago', 14:30, ISO 8601.")] = "1h",
    until: Annotated[str, typer.Option(metavar="TIME", help="The end of the span.")] = "now",
    step: Annotated[
        str | None, typer.Option(metavar="DURATION", help="One value for each 10s, 5m …; without it every sample.")
    ] = None,
    agg: Annotated[
        str | None,
        typer.Option(metavar="HOW", help="With --step: avg, min, max, sum, last, count, rate, increase, p95."),
    ] = None,
    hosts: HostsOption = None,
    every: AllHosts = False,
    format: Annotated[FileFormat | None, typer.Option("--format", "-f", help="Without it by the name's end.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of this name.")] = False,
) -> None:
    """Export samples to a file, or to stdout for a pipe. The file appears when it is whole."""
    options = options_of(context)
    selectors = check_all(hosts, every)
    start_ms, end_ms = parse_span(since, until)
    step_ms = parse_duration_ms(step) if step else None
    aggregation, quantile = parse_aggregation(agg)
    if agg and step_ms is None:
        raise InvalidInputError("--agg needs a --step.", hint="Give --step 1m, or leave --agg out to get every sample.")
    chosen = _format(file, format)
    values = 0
    series: set[tuple[str, str]] = set()
    names: set[str] = set()
    with options.client(timeout_s=60.0) as client:
        export = client.metrics.export(
            *(metrics or ["*"]),
            hosts=selectors or "*",
            since=start_ms,
            until=end_ms,
            step=step_ms,
            aggregation=aggregation,
            quantile=quantile,
        )
        with export, _writer(file, chosen, force) as writer, progress_bar("Exporting", unit="%") as progress:
            for block in export:
                values += writer.write(block)
                series.update((block.host_id, one.key) for one in block.series)
                names.add(block.host_id)
                progress(round(block.done * 100), 100)
    told = f"{_count(values, 'value')} of {len(series):,} series of {_count(len(names), 'host')}"
    if file == _STDOUT:
        if not values:
            say("Nothing was recorded in that span.")
        return
    tell(f"{safe_text(str(file), 300)}: {told}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _format(file: Path, format: FileFormat | None) -> FileFormat:
    if file == _STDOUT:
        chosen = format or FileFormat.CSV
        if chosen in (FileFormat.PARQUET, FileFormat.SQLITE):
            raise InvalidInputError(
                f"A {chosen} file cannot be written to stdout.", hint="Name a file, or use --format csv or ndjson."
            )
        return chosen
    chosen = format or format_of(file)
    if chosen is FileFormat.PARQUET:
        check_parquet()
    return chosen


@contextlib.contextmanager
def _writer(file: Path, format: FileFormat, force: bool) -> Iterator[ExportWriter]:
    if file == _STDOUT:
        with TextWriter(sys.stdout, format, close=False) as text:
            yield text
        return
    with new_file(file.expanduser(), replace=force) as part, open_writer(part, format) as writer:
        yield writer
