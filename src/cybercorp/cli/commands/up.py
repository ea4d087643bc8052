"""`cybercorp up`: everything for this machine with one word."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from cybercorp.cli.groups import single
from cybercorp.cli.options import options_of
from cybercorp.cli.output.writers import say
from cybercorp.core.errors import InvalidInputError

app = single("Start server and agent for this machine, and open the dashboard.")


@app.command()
def up(
    context: typer.Context,
    headless: Annotated[bool, typer.Option("--headless", help="Without the dashboard; Ctrl-C stops it.")] = False,
    port: Annotated[
        int | None,
        typer.Option(metavar="PORT", min=0, max=65535, help="The server's port; without it 8765 or the next free one."),
    ] = None,
    no_agent: Annotated[bool, typer.Option("--no-agent", help="Do not monitor this machine.")] = False,
) -> None:
    """Start server and agent for this machine, and open the dashboard.

    Everything listens on this machine only. Quitting stops all of it; the history stays in the data folder. Where a
    server already runs on the same data, only the dashboard opens.
    """
    options = options_of(context)
    if options.url or options.profile:
        raise InvalidInputError("`up` starts a server of its own.", hint="Open the dashboard of another: cybercorp tui")
    from cybercorp.cli.launch.up import UpPlan
    from cybercorp.cli.launch.up import up as run

    plan = UpPlan(data_dir=options.data_dir, headless=headless, port=port, agent=not no_agent)
    raise typer.Exit(run(plan, _say))


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be closed already, and the children must still be stopped
        say(text)
