"""`cybercorp enroll`: the one line that adds another machine."""

from __future__ import annotations

import socket
import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from cybercorp.cli.commands.hosts import parse_labels
from cybercorp.cli.groups import single
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import say, write_object
from cybercorp.cli.parameters import Output
from cybercorp.core.times import parse_duration_ms

app = single("Print the one line that adds another machine.")


@app.command()
def enroll(
    context: typer.Context,
    labels: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label of the new hosts; repeatable.")
    ] = None,
    uses: Annotated[int, typer.Option(min=1, max=10_000, help="How many machines may join with it.")] = 1,
    expires: Annotated[str, typer.Option(metavar="DURATION", help="How long it is valid.")] = "1h",
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="The server's address as the other machine reaches it.")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Make an enrolment token and print the line to paste on another machine."""
    wanted = {key: value for key, value in parse_labels(labels).items() if value} if labels else None
    lifetime_ms = parse_duration_ms(expires)
    with options_of(context).client() as client:
        url = address or client.url
        made = client.agents.create_enrolment(expires_in_s=max(1, lifetime_ms // 1000), uses=uses, labels=wanted)
    pin = f" --pin {made.pins[0]}" if made.pins else ""
    line = f"cybercorp agent join {url}{pin} --token {made.token}"
    if output is not OutputFormat.TABLE:
        write_object(
            {
                "url": url,
                "token": made.token,
                "pins": made.pins,
                "command": line,
                "uses": made.uses,
                "expires_at": iso_time(made.expires_at_ms),
            },
            output,
        )
        return
    machines = "one machine" if made.uses == 1 else f"{made.uses} machines"
    say(f"Paste this on the other machine; it admits {machines} until {local_time(made.expires_at_ms)}:")
    sys.stdout.write(line + "\n")
    if is_local(url):
        say(
            "This address reaches this machine only. To let others in: cybercorp server run --listen 0.0.0.0\n"
            f"Then: cybercorp enroll --address https://{socket.gethostname()}:{urlsplit(url).port or 8765}"
        )


def is_local(url: str) -> bool:
    """True where the address means this machine only."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
