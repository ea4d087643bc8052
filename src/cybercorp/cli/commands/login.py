"""`cybercorp login`: begin a session on a server and keep it as a profile."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from cybercorp.cli.groups import single
from cybercorp.cli.options import Options, options_of
from cybercorp.cli.output.writers import remark, tell
from cybercorp.cli.questions import ask_secret, ask_text, can_ask, read_secret
from cybercorp.core.errors import InvalidInputError, UnauthenticatedError
from cybercorp.protocol.logins import ClientType, Tokens
from cybercorp.security.display import safe_text

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
    wallboard: Annotated[bool, typer.Option("--wallboard", help="A session of 30 days that can only look.")] = False,
) -> None:
    """Log in to a server with name, password and second factor. Its profile becomes the default one."""
    options = options_of(context)
    if url is not None:
        options = msgspec.structs.replace(options, url=url)
    from cybercorp.client.authorization import stored_session
    from cybercorp.client.profiles import Profile, read_profiles, save_profile
    from cybercorp.client.session_store import SessionStore

    profile = options.login_profile()
    with options.client() as client:
        name = user or ask_text("User", option="--user NAME")
        password = read_secret() if password_stdin else ask_secret("Password", option="--password-stdin")
        kind = ClientType.WALLBOARD if wallboard else ClientType.CLI
        try:
            tokens = client.account.login(name, password, code, kind)
        except UnauthenticatedError as error:
            if error.error_code != "mfa_needed" or code is not None or not can_ask():
                raise
            asked = ask_secret("Code of the authenticator app, or a recovery code", option="--code")
            tokens = client.account.login(name, password, asked, kind)
        known = read_profiles().profiles.get(profile)
        kept = msgspec.structs.replace(known, url=client.url) if known else Profile(url=client.url)
        save_profile(profile, msgspec.structs.replace(kept, user=tokens.user, token=""), default=True)
        SessionStore(profile).save(stored_session(client.url, tokens))
    _greet(tokens, profile, client.url, options)


def _greet(tokens: Tokens, profile: str, url: str, options: Options) -> None:
    tell(f"Logged in to {safe_text(url)} as {safe_text(tokens.user)} (profile {safe_text(profile)}).")
    try:
        with msgspec.structs.replace(options, profile=profile, url=None).client() as client:
            account = client.account.show()
    except InvalidInputError:
        return
    if account.user is not None and not account.user.factors:
        remark("Without a second factor you may only look. Set one up: cybercorp mfa add")
