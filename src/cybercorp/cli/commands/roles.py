"""`cybercorp roles`: sets of permissions."""

from __future__ import annotations

from typing import Annotated

import typer

from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import tell, write_rows
from cybercorp.cli.parameters import Output
from cybercorp.protocol.roles import Role
from cybercorp.security.display import safe_text

app = noun("List, make and remove roles.")

COLUMNS: tuple[Column[Role], ...] = (
    Column(key="name", value=lambda role: role.name, style=lambda role: "bold"),
    Column(
        key="builtin", title="SHIPS", value=lambda role: role.builtin, text=lambda role: "yes" if role.builtin else ""
    ),
    Column(key="description", value=lambda role: role.description or None, rank=1, flexible=True),
    Column(
        key="permissions",
        value=lambda role: role.permissions,
        text=lambda one: " ".join(one.permissions),
        flexible=True,
    ),
)


@app.command("list")
def list_roles(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List roles and what they permit."""
    options = options_of(context)
    with options.client() as client:
        found = client.roles.list()
    write_rows(found, COLUMNS, output, options)


@app.command("create")
def create_role(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits, - and _.")],
    permissions: Annotated[list[str], typer.Argument(metavar="PERMISSION...", help="hosts:view metrics:view …")],
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="What it is for.")] = "",
) -> None:
    """Make a role of these permissions; nobody makes one that holds more than they have."""
    with options_of(context).client() as client:
        made = client.roles.create(name, permissions, description)
    tell(f"{safe_text(made.name)} is made. Give it: cybercorp bindings create USER {safe_text(made.name)}")


@app.command("remove")
def remove_role(
    context: typer.Context, name: Annotated[str, typer.Argument(metavar="NAME", help="A role that was made here.")]
) -> None:
    """Remove a role that nobody is bound to."""
    with options_of(context).client() as client:
        client.roles.remove(name)
    tell(f"{safe_text(name)} is removed.")
