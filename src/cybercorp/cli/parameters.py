"""Parameters that many commands share, so that they are spelled and explained alike everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from cybercorp.cli.completions import complete_hosts
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import InvalidInputError, TimeExpressionError
from cybercorp.core.times import parse_time_ms

Output = Annotated[OutputFormat, typer.Option("--output", "-o", help="How to print.")]
Selectors = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[HOSTS]...",
        help="Names, globs (web-*), labels (env=prod), comparisons (cpu>80).",
        autocompletion=complete_hosts,
    ),
]
HostsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--hosts",
        "--host",
        metavar="HOSTS",
        help="A name, glob (web-*) or label (env=prod); repeatable.",
        autocompletion=complete_hosts,
    ),
]
HostName = Annotated[str, typer.Argument(metavar="HOST", help="Its name or id.", autocompletion=complete_hosts)]
AllHosts = Annotated[bool, typer.Option("--all", help="Every host.")]
Limit = Annotated[int | None, typer.Option("--limit", "-n", min=1, max=100_000, help="At most this many.")]


def check_all(selectors: Sequence[str] | None, every: bool) -> list[str]:
    """The selectors, none meaning all hosts. Raises InvalidInputError where both were given."""
    named = list(selectors or ())
    if every and named:
        raise InvalidInputError("--all and names of hosts exclude each other.", hint="Give one of them.")
    return named


def past_ms(text: str, option: str, *, now_ms: int | None = None) -> int:
    """A time expression that must not lie in the future. Raises TimeExpressionError."""
    now = SystemClock().now_ms() if now_ms is None else now_ms
    moment = parse_time_ms(text, now_ms=now)
    if moment > now:
        raise TimeExpressionError(
            f"{option} '{text}' lies in the future.", hint="Name a past time: 15m, '3m ago', yesterday 03:00."
        )
    return moment


def parse_span(since: str, until: str) -> tuple[int, int]:
    """Unix milliseconds of --since and --until. Raises TimeExpressionError."""
    now_ms = SystemClock().now_ms()
    start_ms = past_ms(since, "--since", now_ms=now_ms)
    end_ms = parse_time_ms(until, now_ms=now_ms)
    if end_ms <= start_ms:
        raise TimeExpressionError(
            f"--until '{until[:60]}' is not after --since '{since[:60]}'.",
            hint="Name a later end, or leave --until out.",
        )
    return start_ms, end_ms
