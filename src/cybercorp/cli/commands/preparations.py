"""`cybercorp server create-owner`, `create-certificate`, `certificate`: what it needs before others may reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import remark, say, tell, write_one
from cybercorp.cli.parameters import Output
from cybercorp.cli.questions import ask_new_password, read_secret
from cybercorp.protocol.certificates import CertificateStatus
from cybercorp.security.display import safe_text

if TYPE_CHECKING:
    from cybercorp.cli.options import Options

COLUMNS: tuple[Column[CertificateStatus], ...] = (
    Column(key="names", value=lambda one: one.names, text=lambda one: ", ".join(one.names)),
    Column(
        key="not_after",
        title="GOOD UNTIL",
        value=lambda one: iso_time(one.not_after_ms),
        text=lambda one: local_time(one.not_after_ms),
    ),
    Column(
        key="renewed_at",
        title="RENEWED",
        value=lambda one: iso_time(one.renewed_at_ms),
        text=lambda one: f"{local_time(one.renewed_at_ms)}, by itself",
    ),
    Column(key="pin", value=lambda one: one.pins[0] if one.pins else None),
    Column(key="backup_pin", title="BACKUP PIN", value=lambda one: one.pins[1] if len(one.pins) > 1 else None),
)


def register_preparations(app: typer.Typer) -> None:
    """Add the commands to `cybercorp server`."""
    app.command("create-owner")(create_owner)
    app.command("create-certificate")(create_certificate)
    app.command("certificate")(show_certificate)
    app.command("renew-certificate")(renew_certificate)
    app.command("rotate-authority")(rotate_authority)


def create_owner(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and - _ . @ +")],
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
) -> None:
    """Make the account that owns this machine's server: an admin who logs in. The server may run or not."""
    options = options_of(context)
    password = read_secret() if password_stdin else ask_new_password(name)
    if _runs(options):
        with options.client() as client:
            made = client.users.create(name, password=password, role="admin").name
    else:
        from cybercorp.cli.launch import preparations

        made = preparations.create_owner(options.data_dir, name, password)
    tell(f"{safe_text(made)} owns this server.")
    remark("After the first log-in set up a second factor: cybercorp login, then cybercorp mfa add")


def create_certificate(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="How other machines reach this one: host names, addresses.")
    ],
) -> None:
    """Make this server's certificate, and its authority where there is none. Run it while the server is stopped."""
    options = options_of(context)
    from cybercorp.cli.launch import preparations

    status = preparations.create_certificate(options.data_dir, names)
    tell(f"A certificate for {safe_text(', '.join(status.names))} is made; it renews itself.")
    say("Clients know the server by the pin of its authority; `cybercorp enroll` hands it to agents:")
    tell(status.pins[0])


def show_certificate(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Show the certificate's names, how long it is good, and the pins of its authority."""
    options = options_of(context)
    with options.client() as client:
        status = client.server.certificate()
    write_one(status, COLUMNS, output, options)


def renew_certificate(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Make the certificate anew now; connections go on."""
    options = options_of(context)
    with options.client() as client:
        status = client.server.renew_certificate()
    write_one(status, COLUMNS, output, options)


def rotate_authority(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Let the backup authority sign from now on; agents and clients know its pin already."""
    options = options_of(context)
    with options.client() as client:
        status = client.server.rotate_authority()
    say("Whoever has not connected since the last rotation may need the new pin: join or log in again with it.")
    write_one(status, COLUMNS, output, options)


def _runs(options: Options) -> bool:
    from cybercorp.cli.launch.local import running_server

    return running_server(options.data_dir) is not None
