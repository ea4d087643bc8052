"""`cybercorp bindings`: who has which role, on which hosts, until when."""

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
from cybercorp.protocol.roles import Binding, Effect
from cybercorp.security.display import safe_text

app = noun("List, make and remove bindings of users to roles.")

COLUMNS: tuple[Column[Binding], ...] = (
    Column(key="id", value=lambda binding: binding.id, rank=1),
    Column(key="user", value=lambda binding: binding.user, style=lambda binding: "bold", flexible=True),
    Column(key="role", value=lambda binding: binding.role),
    Column(
        key="effect",
        value=lambda binding: str(binding.effect),
        style=lambda binding: "red" if binding.effect is Effect.DENY else "",
    ),
    Column(key="scope", value=lambda binding: binding.scope, text=lambda one: one.scope or "everywhere", flexible=True),
    Column(
        key="expires_at",
        title="UNTIL",
        value=lambda binding: iso_time(binding.expires_at_ms),
        text=lambda binding: local_time(binding.expires_at_ms) if binding.expires_at_ms else "removed",
        rank=2,
    ),
    Column(key="created_by", title="BY", value=lambda binding: binding.created_by, rank=3, flexible=True),
    Column(key="reason", value=lambda binding: binding.reason or None, rank=4, flexible=True),
)


@app.command("list")
def list_bindings(
    context: typer.Context,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Only of this user.")] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List who has which role, where and until when."""
    options = options_of(context)
    with options.client() as client:
        found = client.bindings.list(user)
    write_rows(
        found, COLUMNS, output, options, empty="Nobody has a role. Give one: cybercorp bindings create USER ROLE"
    )


@app.command("create")
def create_binding(
    context: typer.Context,
    user: Annotated[str, typer.Argument(metavar="USER", help="The name.")],
    role: Annotated[str, typer.Argument(metavar="ROLE", help="See: cybercorp roles.")],
    scope: Annotated[
        str, typer.Option("--scope", metavar="LABELS", help="Only on hosts with these labels: env=prod team!=core.")
    ] = "",
    deny: Annotated[bool, typer.Option("--deny", help="Take it away there instead; that wins.")] = False,
    duration: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="It ends by itself: 8h.")] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="For whoever reads this later.")] = "",
) -> None:
    """Give a user a role, everywhere or on the hosts with some labels, for ever or for a while."""
    lifetime_s = max(1, parse_duration_ms(duration) // 1000) if duration is not None else None
    with options_of(context).client() as client:
        made = client.bindings.create(user, role, scope, deny=deny, expires_in_s=lifetime_s, reason=reason)
    where = f"on hosts with {safe_text(made.scope)}" if made.scope else "everywhere"
    tell(f"{safe_text(made.user)} is {'denied' if deny else 'bound to'} {safe_text(made.role)} {where} ({made.id}).")


@app.command("remove")
def remove_bindings(
    context: typer.Context,
    bindings: Annotated[list[str], typer.Argument(metavar="BINDING...", help="Their ids.")],
) -> None:
    """Remove bindings; they end at once, also for connections that are open."""
    with options_of(context).client() as client:
        for one in bindings:
            client.bindings.remove(one)
            tell(f"{safe_text(one)} is removed.")
