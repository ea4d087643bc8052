"""`cybercorp whoami`: who the server takes you for, and what you may."""

from __future__ import annotations

import typer

from cybercorp.cli.groups import single
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import remark, write_one
from cybercorp.cli.parameters import Output
from cybercorp.core.clock import SystemClock
from cybercorp.protocol.logins import Account

app = single("Show who you are to the server, and what you may do.")


def _stepped_up(account: Account) -> str:
    until = account.stepped_up_until_ms
    if until is None or until <= SystemClock().now_ms():
        return "no"
    return f"until {local_time(until)}"


COLUMNS: tuple[Column[Account], ...] = (
    Column(key="name", value=lambda account: account.name),
    Column(key="kind", value=lambda account: account.kind),
    Column(
        key="roles",
        value=lambda account: account.user.roles if account.user else [],
        text=lambda account: ", ".join(account.user.roles) if account.user and account.user.roles else "–",
    ),
    Column(
        key="factors",
        value=lambda account: account.factors,
        text=lambda account: ", ".join(account.factors) or "–",
    ),
    Column(
        key="stepped_up_until",
        title="STEPPED UP",
        value=lambda account: iso_time(account.stepped_up_until_ms),
        text=_stepped_up,
    ),
    Column(
        key="permissions",
        value=lambda account: account.permissions,
        text=lambda account: " ".join(account.permissions) or "–",
    ),
    Column(key="session_id", value=lambda account: account.session_id, detail=True),
)


@app.command()
def whoami(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Show who you are to the server, and what you may do: name, roles, how you proved it."""
    options = options_of(context)
    with options.client() as client:
        account = client.account.show()
        remark(client.url)
    write_one(account, COLUMNS, output, options)
