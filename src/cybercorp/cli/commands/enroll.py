"""`cybercorp enroll`: the one line that adds another machine."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cybercorp.cli.commands.hosts import parse_labels
from cybercorp.cli.groups import single
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import say, write_object, write_records
from cybercorp.cli.parameters import Output
from cybercorp.client.addresses import is_loopback
from cybercorp.core.errors import ConflictError
from cybercorp.core.times import parse_duration_ms
from cybercorp.security.display import safe_text

if TYPE_CHECKING:
    from cybercorp.protocol.agents import Enrolment

app = single("Print the one line that adds another machine.")

MAX_COUNT = 1_000


@app.command()
def enroll(
    context: typer.Context,
    labels: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="A label of the new hosts; repeatable.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, max=MAX_COUNT, metavar="N", help="Lines for so many machines, one each.")
    ] = None,
    expires: Annotated[str, typer.Option(metavar="DURATION", help="How long it is valid, an hour at most.")] = "1h",
    address: Annotated[
        str | None, typer.Option(metavar="URL", help="The server's address as the other machine reaches it.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Write the lines into a new file that only you read.")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Make an enrolment token and print the line to paste on another machine.

    A token admits one machine, within an hour; --count makes many.
    """
    options = options_of(context)
    from cybercorp.client.agents import address_of

    wanted = {key: value for key, value in parse_labels(labels).items() if value} if labels else None
    lifetime_ms = parse_duration_ms(expires)
    with options.client() as client:
        made = client.agents.create_enrolment(max(1, lifetime_ms // 1000), count or 1, wanted)
        url = address or address_of(made, client.url)
    if output is not OutputFormat.TABLE:
        _write(url, made, output, many=count is not None)
        return
    lines = "".join(f"{line}\n" for line in _lines(url, made))
    until = local_time(made.expires_at_ms)
    if file is not None:
        _keep(file, lines)
        say(
            f"{safe_text(str(file), 300)}: {len(made.tokens)} lines, each admits one machine until {until}. "
            "Delete the file afterwards."
        )
    else:
        if len(made.tokens) == 1:
            say(f"Paste this on the other machine; it admits one machine until {until}:")
        else:
            say(f"Paste one of these on each machine; each admits one until {until}:")
        sys.stdout.write(lines)
        say("On Windows leave the first word away: the token is asked for then.")
    if is_loopback(url):
        say(
            "This address reaches this machine only. Others get in once the server listens for them,\n"
            f"with a certificate of a name that they know: cybercorp server create-certificate {socket.gethostname()}; "
            "cybercorp server run --listen 0.0.0.0"
        )


def _lines(url: str, made: Enrolment) -> list[str]:
    from cybercorp.client.agents import join_command

    return [join_command(url, token, made.pins) for token in made.tokens]


def _write(url: str, made: Enrolment, output: OutputFormat, *, many: bool) -> None:
    """For programs: one record, or with --count one for each token."""
    rows = [
        {"url": url, "token": token, "pins": made.pins, "command": line, "expires_at": iso_time(made.expires_at_ms)}
        for token, line in zip(made.tokens, _lines(url, made), strict=True)
    ]
    if not many:
        write_object(rows[0], output)
        return
    write_records(rows, list(rows[0]), output)


def _keep(path: Path, lines: str) -> None:
    from cybercorp.client.new_files import new_file

    if path.exists():
        raise ConflictError(f"{safe_text(str(path), 300)} exists already.", hint="Choose another name.")
    with new_file(path, replace=False) as part:
        part.write_text(lines, encoding="utf-8")
