"""`cybercorp tui`: the dashboard of a running server."""

from __future__ import annotations

import typer

from cybercorp.cli.groups import single
from cybercorp.cli.options import options_of

app = single("Open the dashboard of a running server.")


@app.command()
def tui(context: typer.Context) -> None:
    """Open the dashboard of a running server: this machine's, or another one's with --profile or --url."""
    options = options_of(context)
    from cybercorp.cli.launch.programs import check_terminal, run_dashboard

    check_terminal("For scripts there is: cybercorp hosts -o json")
    options.check_may_log_in()  # said before the screen changes; the first frame does not wait for httpx
    raise typer.Exit(run_dashboard(options.async_client))
