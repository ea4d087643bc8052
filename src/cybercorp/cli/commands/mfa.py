"""`cybercorp mfa`: your second factors."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import remark, say, tell, write_rows
from cybercorp.cli.parameters import Output
from cybercorp.cli.passkeys import check_can_ask, use_browser
from cybercorp.cli.questions import ask_text, can_ask
from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.mfa import Factor, RecoveryCodes

app = noun("Set up second factors, list and remove them.")

_TRIES = 3
_WHITE_ON_BLACK, _PLAIN = "\x1b[38;5;231;48;5;16m", "\x1b[0m"  # exact colours, which no theme of a terminal changes
COLUMNS: tuple[Column[Factor], ...] = (
    Column(key="id", value=lambda factor: factor.id),
    Column(key="kind", value=lambda factor: str(factor.kind)),
    Column(key="name", value=lambda factor: factor.name, style=lambda factor: "bold", flexible=True),
    Column(
        key="created_at",
        title="SINCE",
        value=lambda factor: iso_time(factor.created_at_ms),
        text=lambda factor: local_time(factor.created_at_ms),
    ),
    Column(
        key="used_at",
        title="LAST USED",
        value=lambda factor: iso_time(factor.used_at_ms),
        text=lambda factor: local_time(factor.used_at_ms) if factor.used_at_ms else "never",
        rank=1,
    ),
)


@app.command("list")
def list_factors(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List your second factors, and how many recovery codes are left."""
    options = options_of(context)
    with options.client() as client:
        found = client.mfa.show()
    write_rows(found.factors, COLUMNS, output, options, empty="No second factor is set up. Do it: cybercorp mfa add")
    if found.factors:
        remark(f"{found.recovery_codes_left} recovery codes are left.")


@app.command("add")
def add_factor(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="What you call it.")] = "",
    passkey: Annotated[
        bool, typer.Option("--passkey", help="A passkey, made in the browser, instead of an authenticator app.")
    ] = False,
) -> None:
    """Set up an authenticator app: scan the code with it, then type what it shows. Or a passkey."""
    if passkey:
        _add_passkey(context, name)
        return
    if not can_ask():
        raise InvalidInputError("This needs a terminal: a code is drawn and one is asked for.", hint="Run it by hand.")
    with options_of(context).client() as client:
        setup = client.mfa.begin_totp(name)
        draw_code(setup.uri)
        say(f"Scan this with an authenticator app, or type the secret: {_grouped(setup.secret)}")
        for left in reversed(range(_TRIES)):
            try:
                codes = client.mfa.confirm_totp(
                    setup.factor_id, ask_text("The six digits it shows", option="a terminal")
                )
                break
            except InvalidInputError as error:
                if error.error_code != "wrong_code" or not left:
                    raise
                say(f"{error.message} {error.hint}")
    tell("The second factor is set up; it is asked for from the next log-in on.")
    _show_codes(codes)


def _add_passkey(context: typer.Context, name: str) -> None:
    check_can_ask()
    with options_of(context).client() as client:
        made = client.passkeys.begin_registration(name)
        codes = use_browser(client.url, made, client.passkeys.finish_registration)
    tell("The passkey is set up. Log in with it: cybercorp login --passkey")
    _show_codes(codes)


@app.command("recovery-codes")
def renew_recovery_codes(context: typer.Context) -> None:
    """Make ten new recovery codes; the ones before are worth nothing."""
    with options_of(context).client() as client:
        _show_codes(client.mfa.renew_recovery_codes())


@app.command("remove")
def remove_factor(
    context: typer.Context, factor: Annotated[str, typer.Argument(metavar="FACTOR", help="Its id; see the list.")]
) -> None:
    """Remove a second factor."""
    with options_of(context).client() as client:
        client.mfa.remove(factor)
    tell("It is removed.")


def draw_code(uri: str) -> None:
    """The QR code on stderr, in half blocks: dark on light, whatever the terminal's colours are."""
    import segno

    drawn = io.StringIO()
    segno.make(uri, error="m").terminal(out=drawn, border=2, compact=True)
    for line in drawn.getvalue().splitlines():
        sys.stderr.write(f"{_WHITE_ON_BLACK}{line}{_PLAIN}\n")
    sys.stderr.flush()


def _show_codes(codes: RecoveryCodes) -> None:
    if not codes.codes:
        return
    say("Recovery codes, each good once where the app is lost. They are shown now and never again:")
    for code in codes.codes:
        tell(code)


def _grouped(secret: str) -> str:
    return " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
