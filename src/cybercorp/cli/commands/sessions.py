"""`cybercorp sessions`: where you, or others, are logged in."""

from __future__ import annotations

from typing import Annotated

import typer

from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import tell, write_rows
from cybercorp.cli.parameters import Output
from cybercorp.protocol.sessions import Session

app = noun("List and end sessions.")

COLUMNS: tuple[Column[Session], ...] = (
    Column(key="id", value=lambda session: session.id),
    Column(key="user", value=lambda session: session.user, style=lambda session: "bold"),
    Column(
        key="client",
        value=lambda session: str(session.client),
        text=lambda session: f"{session.client} (this one)" if session.is_this else str(session.client),
    ),
    Column(key="network", value=lambda session: session.network, rank=1),
    Column(key="factors", value=lambda session: session.factors, text=lambda one: ", ".join(one.factors), rank=2),
    Column(
        key="created_at",
        title="SINCE",
        value=lambda session: iso_time(session.created_at_ms),
        text=lambda session: local_time(session.created_at_ms),
        rank=1,
    ),
    Column(
        key="seen_at",
        title="SEEN",
        value=lambda session: iso_time(session.seen_at_ms),
        text=lambda session: local_time(session.seen_at_ms),
        rank=3,
    ),
    Column(key="expires_at", value=lambda session: iso_time(session.expires_at_ms), detail=True),
    Column(key="user_agent", value=lambda session: session.user_agent, detail=True),
    Column(key="is_this", value=lambda session: session.is_this, detail=True),
)


@app.command("list")
def list_sessions(
    context: typer.Context,
    user: Annotated[str | None, typer.Option("--user", metavar="NAME", help="Of this user, as an admin.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Of everybody, as an admin.")] = False,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List your sessions, or those of others."""
    options = options_of(context)
    with options.client() as client:
        found = client.sessions.list("*" if every else user)
    write_rows(found, COLUMNS, output, options, empty="There is no session. Begin one: cybercorp login")


@app.command("revoke")
def revoke_sessions(
    context: typer.Context,
    sessions: Annotated[list[str], typer.Argument(metavar="SESSION...", help="Their ids.")],
) -> None:
    """End sessions: their tokens and live connections end within seconds."""
    with options_of(context).client() as client:
        for one in sessions:
            client.sessions.end(one)
            tell(f"{one} is ended.")
