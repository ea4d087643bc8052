"""`cybercorp login`: begin a session on a server and keep it as a profile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from cybercorp.cli.groups import single
from cybercorp.cli.options import Options, options_of
from cybercorp.cli.output.writers import remark, say, tell
from cybercorp.cli.passkeys import check_can_ask, use_browser
from cybercorp.cli.questions import ask_secret, ask_text, can_ask, read_secret
from cybercorp.core.errors import InvalidInputError, UnauthenticatedError, UntrustedServerError
from cybercorp.protocol.logins import ClientType, Tokens
from cybercorp.security.credentials import Credential
from cybercorp.security.display import safe_text

if TYPE_CHECKING:
    from cybercorp.client.synchronous import Client

app = single("Log in to a server.")


@app.command()
def login(
    context: typer.Context,
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="The server's address.")] = None,
    user: Annotated[str | None, typer.Option("--user", "-u", metavar="NAME", help="Your name there.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from stdin, as scripts do.")
    ] = False,
    code: Annotated[
        str | None, typer.Option("--code", metavar="CODE", help="Of the authenticator app, or a recovery code.")
    ] = None,
    pin: Annotated[
        str | None, typer.Option("--pin", metavar="PIN", help="The key of the server's authority: sha256:…")
    ] = None,
    passkey: Annotated[
        bool, typer.Option("--passkey", help="With a passkey in the browser; no name and no password is asked for.")
    ] = False,
    wallboard: Annotated[bool, typer.Option("--wallboard", help="A session of 30 days that can only look.")] = False,
) -> None:
    """Log in to a server with name, password and second factor, or a passkey. Its profile becomes the default one."""
    options = options_of(context)
    if url is not None:
        options = msgspec.structs.replace(options, url=url)
    from cybercorp.client.kept_logins import keep_login
    from cybercorp.client.synchronous import Client

    profile = options.login_profile()
    with Client(credential=_trusted(options.credential(), pin)) as client:
        kind = ClientType.WALLBOARD if wallboard else ClientType.CLI
        if passkey:
            tokens = _with_passkey(client, kind)
        else:
            tokens = _with_password(client, kind, user, code, from_stdin=password_stdin)
        replaced = keep_login(profile, client.credential, tokens, default=True)
        if replaced:
            client.account.end_replaced(replaced, tokens)
    _greet(tokens, profile, client.url, options)


def _with_password(client: Client, kind: ClientType, user: str | None, code: str | None, *, from_stdin: bool) -> Tokens:
    name = user or ask_text("User", option="--user NAME")
    password = read_secret() if from_stdin else ask_secret("Password", option="--password-stdin")
    try:
        return client.account.login(name, password, code, kind)
    except UnauthenticatedError as error:
        if error.error_code != "mfa_needed" or code is not None or not can_ask():
            raise
        if "--passkey" in error.hint:
            say(error.hint)
        asked = ask_secret("Code of the authenticator app, or a recovery code", option="--code")
        return client.account.login(name, password, asked, kind)


def _with_passkey(client: Client, kind: ClientType) -> Tokens:
    check_can_ask()
    return use_browser(client.url, client.passkeys.begin_login(kind), client.passkeys.finish_login)


def _trusted(credential: Credential, pin: str | None) -> Credential:
    """With the authority of the server: pinned before, given, or looked at by the person who logs in."""
    if not credential.url.startswith("https:") or (credential.pins and pin is None):
        return msgspec.structs.replace(credential, token="", profile="")
    from cybercorp.client.trust import fetch_authorities, is_known_to_the_system, with_authority
    from cybercorp.security.certificates import check_pin, pin_of, split_pem

    plain = msgspec.structs.replace(credential, token="", profile="", pins=(), authority="")
    if pin is not None:
        return with_authority(msgspec.structs.replace(plain, pins=(check_pin(pin),)))
    if is_known_to_the_system(credential.url):
        return plain
    offered = split_pem(fetch_authorities(credential.url))[0]  # what is shown is what is kept, and nothing beside it
    offered_pin = pin_of(offered)
    say(f"{safe_text(credential.url)} is not known here yet. The key of its authority is:\n  {offered_pin}")
    say("Over there this shows it: cybercorp server certificate")
    if not can_ask():
        raise UntrustedServerError(
            "Nobody is here to compare the key.", hint=f"If it is the right one: cybercorp login … --pin {offered_pin}"
        )
    if not typer.confirm("Is it the same?", err=True):
        raise UntrustedServerError("Nothing was sent.", hint="Ask whoever runs the server for its pin.")
    return msgspec.structs.replace(plain, pins=(offered_pin,), authority=offered)


def _greet(tokens: Tokens, profile: str, url: str, options: Options) -> None:
    tell(f"Logged in to {safe_text(url)} as {safe_text(tokens.user)} (profile {safe_text(profile)}).")
    try:
        with msgspec.structs.replace(options, profile=profile, url=None).client() as client:
            account = client.account.show()
    except InvalidInputError:
        return
    if account.user is not None and not account.user.factors:
        remark("Without a second factor you may only look. Set one up: cybercorp mfa add")
