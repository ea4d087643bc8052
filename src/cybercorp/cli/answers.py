"""The answer of a range query, printed: a plot, a table of points, or data; and why it is empty where it is."""

from __future__ import annotations

import difflib
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from cybercorp.cli.options import Options, wants_color
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat, shows_unicode
from cybercorp.cli.output.writers import say, write_object, write_records, write_rows
from cybercorp.cli.selection import nothing_matches
from cybercorp.core.errors import CyberCorpError, NotFoundError
from cybercorp.core.times import format_duration_ms
from cybercorp.core.units import format_value
from cybercorp.protocol.metrics import (
    ALIASES,
    MetricDescription,
    QueryAnswer,
    Series,
    SeriesPoints,
    parse_metric_selector,
)
from cybercorp.security.display import safe_text

if TYPE_CHECKING:
    from cybercorp.client.synchronous import Client

_LEAST_HEIGHT = 8


class Point(NamedTuple):
    """One value of one series, a row of the table."""

    time_ms: int
    series: SeriesPoints
    value: float | None


COLUMNS: tuple[Column[Point], ...] = (
    Column(key="time", value=lambda point: iso_time(point.time_ms), text=lambda point: local_time(point.time_ms)),
    Column(key="host", value=lambda point: point.series.host),
    Column(key="metric", value=lambda point: point.series.key),
    Column(
        key="value",
        value=lambda point: point.value,
        text=lambda point: format_value(point.value, point.series.unit),
        right=True,
    ),
    Column(key="unit", value=lambda point: point.series.unit, detail=True),
)


def print_answer(
    answer: QueryAnswer, output: OutputFormat, options: Options, *, size: tuple[int, int] | None, how: str | None = None
) -> None:
    """Print it. `size` (columns, lines) asks for a plot; JSON and YAML hold the answer as the API gives it.

    `how` is the aggregation as it was asked for (`p95`).
    """
    match output:
        case OutputFormat.JSON | OutputFormat.YAML:
            whole: dict[str, Any] = msgspec.to_builtins(answer)
            write_object(whole, output)
        case OutputFormat.NDJSON:
            head = {
                "start_ms": answer.start_ms,
                "step_ms": answer.step_ms,
                "aggregation": answer.aggregation,
                "tier": answer.tier,
            }
            write_records(({**head, **msgspec.to_builtins(one)} for one in answer.series), [], output)
        case OutputFormat.TABLE if size is not None:
            _print_plots(answer, options, *size, how or answer.aggregation)
        case _:
            write_rows(points_of(answer), COLUMNS, output, options)


def points_of(answer: QueryAnswer) -> list[Point]:
    """Every point of every series, one series after the other."""
    steps = [answer.start_ms + index * answer.step_ms for index in range(answer.points)]
    return [
        Point(time_ms, one, value)
        for one in answer.series
        for time_ms, value in zip(steps if one.times_ms is None else one.times_ms, one.values, strict=True)
    ]


def first_value_ms(answer: QueryAnswer) -> int | None:
    """When the first point begins that any series has a value for, Unix milliseconds; None where none has."""
    steps = range(answer.start_ms, answer.start_ms + answer.points * answer.step_ms, max(answer.step_ms, 1))
    known = [
        next((time for time, value in zip(one.times_ms or steps, one.values, strict=False) if value is not None), None)
        for one in answer.series
    ]
    return min((time for time in known if time is not None), default=None)


def series_names(series: Sequence[SeriesPoints]) -> list[str]:
    """What tells the series apart, and no more: host, metric and attributes only where they differ."""
    hosts = len({one.host for one in series}) > 1
    metrics = len({one.name for one in series}) > 1
    pairs = Counter((one.name, key, value) for one in series for key, value in one.attributes.items())
    totals = Counter(one.name for one in series)
    labels = sorted({name for one in series for name in one.labels})
    names = []
    for one in series:
        parts = [one.host] if hosts and one.host else []
        parts += [one.name] if metrics else []
        parts += [
            f"{key}={value}" for key, value in one.attributes.items() if pairs[one.name, key, value] < totals[one.name]
        ]
        parts += [f"{name}={one.labels.get(name) or '-'}" for name in labels]
        names.append(" ".join(parts) or one.host or f"{one.members} series")
    return names


def explain_empty(
    client: Client, metrics: Sequence[str], selectors: Sequence[str], start_ms: int, end_ms: int
) -> CyberCorpError:
    """Why there is no value: no such host, no such metric, or nothing recorded in that span; and what to do."""
    if not client.hosts.list(*selectors, limit=1):
        return nothing_matches(selectors)
    known = client.metrics.list(selectors or "*")
    for text in metrics:
        selector = parse_metric_selector(text)
        if not any(selector.matches(Series(name=one.name)) or _named(one, selector.name) for one in known):
            return _unknown_metric(text, known)
    reach = client.server.info().storage.oldest_ms
    since = f" History starts at {local_time(reach)}." if reach is not None else ""
    return NotFoundError(
        f"No values between {local_time(start_ms)} and {local_time(end_ms)}.{since}",
        hint="Choose another --since and --until, or see whether the agents run: cybercorp hosts",
        code="no_values",
    )


def _named(metric: MetricDescription, name: str) -> bool:
    return parse_metric_selector(name).matches(Series(name=metric.name))


def _unknown_metric(text: str, known: Sequence[MetricDescription]) -> NotFoundError:
    names = [*ALIASES, *(metric.name for metric in known)]
    close = difflib.get_close_matches(text, names, n=1)
    guess = f" Did you mean '{safe_text(close[0], 100)}'?" if close else ""
    return NotFoundError(
        f"No selected host has the metric '{safe_text(text, 100)}'.{guess}",
        hint="List them with: cybercorp metrics",
        code="metric_not_found",
    )


def _print_plots(answer: QueryAnswer, options: Options, width: int, height: int, how: str) -> None:
    from rich.text import Text

    from cybercorp.cli.output.plots import MOST_SERIES, Curve, draw_plot
    from cybercorp.cli.output.tables import make_console

    console = make_console(color=wants_color(options), width=width)
    units = list(dict.fromkeys(one.unit for one in answer.series))
    each = max(_LEAST_HEIGHT, height // len(units))
    for unit in units:
        series = [one for one in answer.series if one.unit == unit]
        shown = sorted(series, key=_highest, reverse=True)[:MOST_SERIES]
        shown = [one for one in series if one in shown]
        console.print(Text(_title(answer, shown, how), style="bold"), no_wrap=True, overflow="ellipsis")
        names = series_names(shown)
        curves = [Curve(name, one.values, one.times_ms) for name, one in zip(names, shown, strict=True)]
        lines = draw_plot(
            curves,
            start_ms=answer.start_ms,
            step_ms=answer.step_ms,
            unit=unit,
            width=width,
            height=each - 1,
            points=answer.points,
            braille=shows_unicode(),
        )
        for line in lines:
            console.print(Text.assemble(*((run.text, run.style) for run in line)), no_wrap=True, overflow="crop")
        if len(series) > len(shown):
            sys.stdout.flush()
            say(
                f"The {len(shown)} highest of {len(series)} series are drawn; narrow with --hosts or "
                '{attribute="value"}, or take all with -o csv.'
            )


def _title(answer: QueryAnswer, series: Sequence[SeriesPoints], how: str) -> str:
    names = list(dict.fromkeys(one.name for one in series))
    hosts = list(dict.fromkeys(one.host for one in series))
    what = ", ".join(safe_text(name, 80) for name in names[:3]) + (" …" if len(names) > 3 else "")
    grouped = any(one.members > 1 or not one.host for one in series)
    where = safe_text(hosts[0], 60) if len(hosts) == 1 and hosts[0] else f"{len(hosts)} hosts"
    where = f"{sum(one.members for one in series)} series joined" if grouped else where
    end_ms = answer.start_ms + answer.points * answer.step_ms
    span = f"{local_time(answer.start_ms)} – {local_time(end_ms)[11:]}"
    return f"{what} · {how} per {format_duration_ms(answer.step_ms)} · {where} · {span}"


def _highest(series: SeriesPoints) -> float:
    return max((value for value in series.values if value is not None), default=float("-inf"))
