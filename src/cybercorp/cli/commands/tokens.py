"""`cybercorp tokens`: what scripts and service accounts show."""

from __future__ import annotations

from typing import Annotated

import typer

from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import say, tell, write_rows
from cybercorp.cli.parameters import Output
from cybercorp.core.times import parse_duration_ms
from cybercorp.protocol.roles import ApiToken
from cybercorp.security.display import safe_text

app = noun("List, make and revoke tokens of programs.")

COLUMNS: tuple[Column[ApiToken], ...] = (
    Column(key="id", value=lambda token: token.id),
    Column(key="name", value=lambda token: token.name, style=lambda token: "bold", flexible=True),
    Column(key="user", value=lambda token: token.user, flexible=True),
    Column(
        key="permissions",
        value=lambda token: token.permissions,
        text=lambda token: "all of the owner" if token.permissions is None else " ".join(token.permissions),
        rank=1,
        flexible=True,
    ),
    Column(key="scope", value=lambda token: token.scope, text=lambda one: one.scope or "everywhere", rank=2),
    Column(
        key="expires_at",
        title="UNTIL",
        value=lambda token: iso_time(token.expires_at_ms),
        text=lambda token: local_time(token.expires_at_ms),
    ),
    Column(
        key="used_at",
        title="LAST USED",
        value=lambda token: iso_time(token.used_at_ms),
        text=lambda token: local_time(token.used_at_ms) if token.used_at_ms else "never",
        rank=3,
    ),
)


@app.command("list")
def list_tokens(
    context: typer.Context,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Of this user, as an admin.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Of everybody, as an admin.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List tokens; the tokens themselves are shown once, when they are made."""
    options = options_of(context)
    with options.client() as client:
        found = client.tokens.list("*" if every else user)
    write_rows(found, COLUMNS, output, options, empty="There is no token. Make one: cybercorp tokens create NAME")


@app.command("create")
def create_token(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="For this service account, as an admin.")
    ] = None,
    permissions: Annotated[
        list[str] | None, typer.Option("--permission", metavar="NOUN:VERB", help="No more than this; repeatable.")
    ] = None,
    scope: Annotated[str, typer.Option("--scope", metavar="LABELS", help="Only hosts with these labels.")] = "",
    expires: Annotated[str, typer.Option("--expires", metavar="DURATION", help="Up to a year.")] = "90d",
) -> None:
    """Make a token and print it. It never may more than its owner may at the time."""
    lifetime_s = max(1, parse_duration_ms(expires) // 1000)
    with options_of(context).client() as client:
        made = client.tokens.create(name, user=user, permissions=permissions, scope=scope, expires_in_s=lifetime_s)
    until = local_time(made.details.expires_at_ms)
    say(f"A token of {safe_text(made.details.user)}, good until {until}. It is shown now and never again:")
    tell(made.token)


@app.command("revoke")
def revoke_tokens(
    context: typer.Context, tokens: Annotated[list[str], typer.Argument(metavar="TOKEN...", help="Their ids.")]
) -> None:
    """Revoke tokens: they are worth nothing from now on."""
    with options_of(context).client() as client:
        for one in tokens:
            client.tokens.revoke(one)
            tell(f"{safe_text(one)} is revoked.")
