"""`cybercorp export`: part of the history as one file, to be looked at elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import local_time
from cybercorp.cli.output.progress import progress_bar
from cybercorp.cli.output.writers import remark, tell
from cybercorp.cli.parameters import AllHosts, HostsOption, check_all, past_ms
from cybercorp.cli.recorded import numbers_of
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import InvalidInputError, TimeExpressionError
from cybercorp.core.times import parse_time_ms
from cybercorp.protocol.recordings import SUFFIX
from cybercorp.security.display import safe_text

if TYPE_CHECKING:
    from cybercorp.client.synchronous import Client

app = noun("Save part of the history as one file for `replay`.")

_DEFAULT_MAX_MIB = 1024


@app.command("incident")
def export_incident(
    context: typer.Context,
    hosts: HostsOption = None,
    every: AllHosts = False,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Its first instant: 20m, '3h ago', 14:30, ISO 8601.")
    ] = "30m",
    until: Annotated[str, typer.Option("--to", metavar="TIME", help="Its last instant.")] = "now",
    path: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help=f"The file; without it incident-…{SUFFIX} in this folder."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file of this name.")] = False,
    max_size: Annotated[
        int, typer.Option("--max-size", metavar="MIB", min=1, max=1 << 20, help="Give up where it becomes larger.")
    ] = _DEFAULT_MAX_MIB,
) -> None:
    """Save samples, processes and events of hosts as one file, which `cybercorp replay FILE` opens without a server."""
    options = options_of(context)
    selectors = check_all(hosts, every)
    now_ms = SystemClock().now_ms()
    since_ms = past_ms(since, "--from", now_ms=now_ms)
    until_ms = min(parse_time_ms(until, now_ms=now_ms), now_ms)
    if until_ms <= since_ms:
        raise TimeExpressionError(
            f"--to '{until[:60]}' is not after --from '{since[:60]}'.", hint="Name a later end, or leave --to out."
        )
    with options.client(timeout_s=60.0) as client:
        chosen = selectors or (["*"] if every else [_only_host(client)])
        target = path or Path(f"incident-{_slug(chosen)}-{local_time(since_ms)[:16].translate(_PLAIN)}{SUFFIX}")
        with progress_bar("Exporting", unit="rows") as progress:
            info = client.recordings.save(
                target.expanduser(),
                hosts=chosen,
                since=since_ms,
                until=until_ms,
                max_bytes=max_size * 1024**2,
                replace=force,
                progress=progress,
            )
    tell(f"{safe_text(str(target), 300)}: {numbers_of(info)}")
    remark(f"Open it anywhere with: cybercorp replay {safe_text(str(target), 300)}")


_PLAIN = {ord("-"): "", ord(":"): "", ord(" "): "-"}


def _only_host(client: Client) -> str:
    """The one host there is. Raises InvalidInputError where there are several."""
    found = client.hosts.list(limit=2)
    if len(found) != 1:
        raise InvalidInputError("No host was named.", hint="Name one with --host, a glob, a label, or --all.")
    return found[0].name


def _slug(selectors: list[str]) -> str:
    named = selectors[0] if len(selectors) == 1 else "hosts"
    return re.sub(r"[^A-Za-z0-9._-]+", "", named)[:60].strip(".-") or "hosts"
