"""`cybercorp hosts`: list, show, label, rename and remove."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from cybercorp.cli.failures import FAILED
from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat, on_terminal, shows_unicode
from cybercorp.cli.output.writers import say, tell, write_one, write_rows
from cybercorp.cli.parameters import AllHosts, HostName, Limit, Output, Selectors, check_all
from cybercorp.cli.selection import list_all, nothing_matches, pick_hosts
from cybercorp.core.clock import SystemClock
from cybercorp.core.errors import InvalidInputError
from cybercorp.core.units import UNKNOWN, format_age, format_bytes
from cybercorp.protocol.hosts import Host, HostSort, HostState
from cybercorp.security.display import safe_text

app = noun("List, show, label, rename and remove hosts.")

_SYMBOLS = {HostState.ONLINE: "●", HostState.STALE: "◌", HostState.OFFLINE: "✖"}
_STYLES = {HostState.ONLINE: "green", HostState.STALE: "yellow", HostState.OFFLINE: "red"}
_WARNING, _HIGH = 0.8, 0.9
_LABELS_LIMIT = 2000


def _latest(host: Host, name: str) -> float | None:
    return host.latest.get(name)


def _state(host: Host) -> str:
    return f"{_SYMBOLS[host.state]} {host.state}" if on_terminal() and shows_unicode() else str(host.state)


def _top_process(host: Host) -> str:
    row = host.summary
    if row is None or not row.top_process:
        return UNKNOWN
    return row.top_process if row.top_process_cpu is None else f"{row.top_process} {row.top_process_cpu * 100:.0f}%"


def _seen(host: Host) -> str:
    if host.seen_at_ms is None:
        return "never"
    return format_age(max(0.0, (SystemClock().now_ms() - host.seen_at_ms) / 1000))


def _ratio(key: str, name: str, title: str, rank: int) -> Column[Host]:
    def style(host: Host) -> str:
        value = _latest(host, name) or 0.0
        return "bold red" if value >= _HIGH else "yellow" if value >= _WARNING else ""

    return Column(
        key=key, title=title, value=lambda host: _latest(host, name), unit="1", right=True, rank=rank, style=style
    )


def _rate(key: str, name: str, title: str, rank: int) -> Column[Host]:
    return Column(key=key, title=title, value=lambda host: _latest(host, name), unit="By/s", right=True, rank=rank)


COLUMNS: tuple[Column[Host], ...] = (
    Column(key="name", value=lambda host: host.name, style=lambda host: "bold", flexible=True),
    Column(key="state", value=lambda host: str(host.state), text=_state, style=lambda host: _STYLES[host.state]),
    _ratio("cpu", "cpu", "CPU", 0),
    _ratio("memory", "mem", "MEM", 0),
    _ratio("disk", "disk", "DISK", 1),
    _rate("network_receive", "net_rx", "NET IN", 4),
    _rate("network_transmit", "net_tx", "NET OUT", 4),
    Column(
        key="load",
        value=lambda host: _latest(host, "load"),
        text=lambda host: UNKNOWN if (load := _latest(host, "load")) is None else f"{load:.2f}",
        right=True,
        rank=3,
    ),
    Column(
        key="top_process",
        value=lambda host: host.summary.top_process if host.summary else None,
        text=_top_process,
        rank=5,
        flexible=True,
    ),
    Column(key="seen_at", title="SEEN", value=lambda host: iso_time(host.seen_at_ms), text=_seen, rank=1),
    Column(key="labels", value=lambda host: host.labels, rank=6, flexible=True),
    Column(key="id", value=lambda host: host.id, detail=True),
    Column(key="joined_at", value=lambda host: iso_time(host.joined_at_ms), detail=True),
    Column(key="os", value=lambda host: host.facts.os_description, detail=True),
    Column(key="kernel", value=lambda host: host.facts.kernel, detail=True),
    Column(key="arch", value=lambda host: host.facts.arch, detail=True),
    Column(key="cpu_count", value=lambda host: host.facts.cpu_count or None, detail=True),
    Column(key="memory_bytes", value=lambda host: host.facts.memory_bytes or None, detail=True),
    Column(key="addresses", value=lambda host: host.facts.addresses, detail=True),
    Column(key="agent_state", title="AGENT", value=lambda host: host.agent_state or None, detail=True),
    Column(key="agent_version", value=lambda host: host.facts.agent_version, detail=True),
)
_OF_ONE: tuple[Column[Host], ...] = (
    *(
        msgspec.structs.replace(column, detail=False)
        for column in COLUMNS
        if column.key not in ("joined_at", "memory_bytes", "seen_at")
    ),
    Column(
        key="memory_bytes",
        title="MEMORY",
        value=lambda host: host.facts.memory_bytes or None,
        text=lambda host: format_bytes(host.facts.memory_bytes) if host.facts.memory_bytes else UNKNOWN,
    ),
    Column(key="cpu_model", value=lambda host: host.facts.cpu_model),
    Column(key="model", value=lambda host: host.facts.model),
    Column(key="virtualization", value=lambda host: host.facts.virtualization),
    Column(key="hostname", value=lambda host: host.facts.hostname),
    Column(key="timezone", value=lambda host: host.facts.timezone),
    Column(
        key="booted_at",
        title="BOOTED",
        value=lambda host: iso_time(host.facts.boot_time_ms or None),
        text=lambda host: local_time(host.facts.boot_time_ms or None),
    ),
    Column(
        key="joined_at",
        title="JOINED",
        value=lambda host: iso_time(host.joined_at_ms),
        text=lambda host: local_time(host.joined_at_ms),
    ),
    Column(key="seen_at", title="SEEN", value=lambda host: iso_time(host.seen_at_ms), text=_seen),
    Column(
        key="interval_ms",
        title="INTERVAL",
        value=lambda host: host.interval_ms,
        text=lambda host: f"{host.interval_ms} ms",
    ),
    Column(
        key="clock_offset_ms",
        title="CLOCK OFFSET",
        value=lambda host: host.clock_offset_ms,
        text=lambda host: UNKNOWN if host.clock_offset_ms is None else f"{host.clock_offset_ms} ms",
    ),
)


@app.command("list")
def list_hosts(
    context: typer.Context,
    hosts: Selectors = None,
    every: AllHosts = False,
    sort: Annotated[HostSort, typer.Option(help="The column to sort by.")] = HostSort.NAME,
    descending: Annotated[bool, typer.Option("--descending", "-d", help="Largest first.")] = False,
    limit: Limit = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List hosts with their newest values. Without a selector: all of them."""
    options = options_of(context)
    selectors = check_all(hosts, every)
    with options.client() as client:
        found = list_all(client, selectors, sort=sort, descending=descending, limit=limit)
    missing = nothing_matches(selectors)
    write_rows(found, COLUMNS, output, options, empty=f"{missing.message} {missing.hint}")


@app.command("show")
def show_host(
    context: typer.Context,
    host: HostName,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show one host: what it is made of, its labels and newest values."""
    options = options_of(context)
    with options.client() as client:
        found = client.hosts.get(host)
    write_one(found, _OF_ONE, output, options)


@app.command("label")
def label_hosts(
    context: typer.Context,
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="HOSTS CHANGES...", help="A selector, then key=value to set or key- to remove."),
    ],
    every: AllHosts = False,
) -> None:
    """Set or remove labels: cybercorp hosts label 'web-*' env=prod old-"""
    selectors, changes = ([], arguments) if every else (arguments[:1], arguments[1:])
    labels = parse_labels(changes)
    with options_of(context).client() as client:
        for host in pick_hosts(client, selectors, every=every):
            changed = client.hosts.label(host.id, labels)
            pairs = " ".join(f"{key}={value}" for key, value in sorted(changed.labels.items()))
            tell(f"{safe_text(changed.name)}: {safe_text(pairs, _LABELS_LIMIT) or 'no labels'}")


@app.command("rename")
def rename_host(
    context: typer.Context,
    host: HostName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
) -> None:
    """Rename a host; its history stays with it."""
    with options_of(context).client() as client:
        changed = client.hosts.rename(host, name)
    tell(f"{safe_text(host)} is now {safe_text(changed.name)}.")


@app.command("approve")
def approve_hosts(context: typer.Context, hosts: Selectors = None) -> None:
    """Admit hosts that wait for approval, or that were locked because their key was seen in two places."""
    with options_of(context).client() as client:
        for host in pick_hosts(client, list(hosts or ()), every=False):
            client.hosts.approve(host.id)
            tell(f"{safe_text(host.name)} is admitted.")


@app.command("retire")
def retire_hosts(context: typer.Context, hosts: Selectors = None) -> None:
    """Retire hosts: their agents never return, their history stays."""
    with options_of(context).client() as client:
        for host in pick_hosts(client, list(hosts or ()), every=False):
            client.hosts.retire(host.id)
            tell(f"{safe_text(host.name)} is retired.")


@app.command("remove")
def remove_hosts(
    context: typer.Context,
    hosts: Selectors = None,
    every: AllHosts = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove hosts and their history. Their agents are no longer let in."""
    with options_of(context).client() as client:
        picked = pick_hosts(client, list(hosts or ()), every=every)
        if not yes:
            _confirm(picked)
        for host in picked:
            client.hosts.remove(host.id)
            tell(f"{safe_text(host.name)} is removed.")


def parse_labels(changes: Sequence[str]) -> dict[str, str | None]:
    """`key=value` sets, `key-` removes (None). Raises InvalidInputError."""
    labels: dict[str, str | None] = {}
    for change in changes:
        key, sign, value = change.partition("=")
        if not sign and change.endswith("-") and len(change) > 1:
            labels[change[:-1]] = None
        elif sign and key and value:
            labels[key] = value
        else:
            raise InvalidInputError(
                f"'{safe_text(change, 80)}' is no change of a label.",
                hint="Write key=value to set one, key- to remove it.",
            )
    if not labels:
        raise InvalidInputError("No label was given.", hint="Write key=value to set one, key- to remove it.")
    return labels


def _confirm(hosts: Sequence[Host]) -> None:
    names = ", ".join(safe_text(host.name, 60) for host in hosts[:5]) + (" …" if len(hosts) > 5 else "")
    what = "host" if len(hosts) == 1 else "hosts"
    if not sys.stdin.isatty():
        raise InvalidInputError(
            f"Removing {len(hosts)} {what} ({names}) needs a confirmation.",
            hint="Add --yes to remove without being asked.",
        )
    if not typer.confirm(f"Remove {len(hosts)} {what} with all history ({names})?", err=True):
        say("Nothing is removed.")
        raise typer.Exit(FAILED)
