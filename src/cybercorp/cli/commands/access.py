"""`cybercorp access`: a role for a while, asked for by one person and decided by another."""

from __future__ import annotations

from typing import Annotated

import typer

from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import tell, write_rows
from cybercorp.cli.parameters import Output
from cybercorp.core.times import parse_duration_ms
from cybercorp.core.units import format_seconds
from cybercorp.protocol.roles import Elevation, ElevationState
from cybercorp.security.display import safe_text

app = noun("Ask for a role for a while; approve or deny what others ask for.")

Request = Annotated[str, typer.Argument(metavar="REQUEST", help="Its id; see the list.")]
_STYLES = {ElevationState.PENDING: "yellow", ElevationState.APPROVED: "green", ElevationState.DENIED: "red"}
COLUMNS: tuple[Column[Elevation], ...] = (
    Column(key="id", value=lambda one: one.id),
    Column(key="user", value=lambda one: one.user, style=lambda one: "bold", flexible=True),
    Column(key="role", value=lambda one: one.role),
    Column(key="scope", value=lambda one: one.scope, text=lambda one: one.scope or "everywhere", flexible=True),
    Column(
        key="duration_s",
        title="FOR",
        value=lambda one: one.duration_ms // 1000,
        text=lambda one: format_seconds(one.duration_ms // 1000),
    ),
    Column(key="state", value=lambda one: str(one.state), style=lambda one: _STYLES.get(one.state, "")),
    Column(key="reason", value=lambda one: one.reason, rank=1, flexible=True),
    Column(
        key="requested_at",
        title="ASKED",
        value=lambda one: iso_time(one.requested_at_ms),
        text=lambda one: local_time(one.requested_at_ms),
        rank=2,
    ),
    Column(key="decided_by", title="DECIDED BY", value=lambda one: one.decided_by, rank=3, flexible=True),
)


@app.command("list")
def list_requests(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List your requests, or all where you may see roles."""
    options = options_of(context)
    with options.client() as client:
        found = client.elevations.list()
    write_rows(found, COLUMNS, output, options, empty="Nothing was asked for. Ask: cybercorp access request ROLE")


@app.command("request")
def request_role(
    context: typer.Context,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="See: cybercorp roles.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="For whoever decides.")],
    scope: Annotated[str, typer.Option("--scope", metavar="LABELS", help="Only on hosts with these labels.")] = "",
    duration: Annotated[str, typer.Option("--for", metavar="DURATION", help="Up to twelve hours.")] = "1h",
) -> None:
    """Ask for a role for a while; somebody else who has it decides."""
    with options_of(context).client() as client:
        made = client.elevations.request(role, reason, scope, max(1, parse_duration_ms(duration) // 1000))
    tell(f"{made.id} waits for somebody else: cybercorp access approve {made.id}")


@app.command("approve")
def approve(context: typer.Context, request: Request) -> None:
    """Give what was asked for; it begins now and ends by itself."""
    with options_of(context).client() as client:
        done = client.elevations.decide(request, approve=True)
    lasting = format_seconds(done.duration_ms // 1000)
    tell(f"{safe_text(done.user)} has {safe_text(done.role)} for {lasting} from now on.")


@app.command("deny")
def deny(context: typer.Context, request: Request) -> None:
    """Do not give what was asked for."""
    with options_of(context).client() as client:
        done = client.elevations.decide(request, approve=False)
    tell(f"{safe_text(done.user)} is not given {safe_text(done.role)}.")


@app.command("cancel")
def cancel(context: typer.Context, request: Request) -> None:
    """Take a request back, or end the role that it gave."""
    with options_of(context).client() as client:
        client.elevations.cancel(request)
    tell(f"{safe_text(request)} is cancelled.")
