"""`cybercorp users`: who may log in."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cybercorp.cli.failures import FAILED
from cybercorp.cli.groups import noun
from cybercorp.cli.options import options_of
from cybercorp.cli.output.columns import Column, iso_time, local_time
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import remark, say, tell, write_one, write_rows
from cybercorp.cli.parameters import Output
from cybercorp.cli.questions import ask_new_password, ask_secret, read_secret
from cybercorp.core.errors import InvalidInputError
from cybercorp.protocol.users import User, UserKind
from cybercorp.security.display import safe_text

app = noun("List, make, change and remove users.")

UserName = Annotated[str, typer.Argument(metavar="USER", help="The name or id.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _state(user: User) -> str:
    if user.disabled_at_ms is not None:
        return "disabled"
    return "active" if user.has_password or user.kind is UserKind.SERVICE else "no password"


COLUMNS: tuple[Column[User], ...] = (
    Column(key="name", value=lambda user: user.name, style=lambda user: "bold", flexible=True),
    Column(key="kind", value=lambda user: str(user.kind)),
    Column(
        key="state",
        value=_state,
        style=lambda user: "green" if _state(user) == "active" else "yellow",
    ),
    Column(key="roles", value=lambda user: user.roles, text=lambda user: ", ".join(user.roles) or "–", flexible=True),
    Column(
        key="factors",
        title="SECOND FACTORS",
        value=lambda user: user.factors,
        text=lambda user: ", ".join(user.factors) or "none",
        rank=1,
    ),
    Column(key="display_name", title="CALLED", value=lambda user: user.display_name or None, rank=2, flexible=True),
    Column(
        key="created_at",
        title="SINCE",
        value=lambda user: iso_time(user.created_at_ms),
        text=lambda user: local_time(user.created_at_ms),
        rank=3,
    ),
    Column(key="id", value=lambda user: user.id, detail=True),
)


@app.command("list")
def list_users(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """List users with their roles."""
    options = options_of(context)
    with options.client() as client:
        found = client.users.list()
    write_rows(
        found,
        COLUMNS,
        output,
        options,
        empty="There is no user yet. Make one: cybercorp users create NAME --role admin",
    )


@app.command("show")
def show_user(context: typer.Context, user: UserName, output: Output = OutputFormat.TABLE) -> None:
    """Show one user."""
    options = options_of(context)
    with options.client() as client:
        found = client.users.get(user)
    write_one(found, COLUMNS, output, options)


@app.command("create")
def create_user(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and - _ . @ +")],
    role: Annotated[
        str | None, typer.Option("--role", metavar="ROLE", help="viewer, operator, admin, or one of yours.")
    ] = None,
    display_name: Annotated[str, typer.Option("--display-name", metavar="TEXT", help="What people are called.")] = "",
    service: Annotated[
        bool, typer.Option("--service", help="A service account: it has tokens and no password.")
    ] = False,
    password_stdin: PasswordStdin = False,
) -> None:
    """Make a user. The password is asked for twice, or read from stdin."""
    with options_of(context).client() as client:
        password = None
        if not service:
            password = read_secret() if password_stdin else ask_new_password(name)
        made = client.users.create(
            name,
            password=password,
            role=role,
            display_name=display_name,
            kind=UserKind.SERVICE if service else UserKind.PERSON,
        )
        url = client.url
    tell(f"{safe_text(made.name)} is made" + (f", as {', '.join(made.roles)}." if made.roles else ", without a role."))
    if not service:
        remark(f"They log in with: cybercorp login {safe_text(url)} --user {safe_text(made.name)}")


@app.command("password")
def change_password(
    context: typer.Context,
    user: Annotated[str | None, typer.Argument(metavar="[USER]", help="Somebody else, as an admin.")] = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Change your own password, or set somebody else's. Other sessions end."""
    with options_of(context).client() as client:
        if user is not None:
            password = read_secret() if password_stdin else ask_new_password(user)
            client.users.change(user, password=password)
            tell(f"The password of {safe_text(user)} is changed; they are logged out everywhere.")
            return
        me = client.account.show()
        old = read_secret() if password_stdin else ask_secret("Password now", option="--password-stdin (two lines)")
        new = read_secret() if password_stdin else ask_new_password(me.name)
        code = None
        if me.user is not None and me.user.factors:
            code = ask_secret("Code of the authenticator app", option="a terminal")
        client.account.change_password(old, new, code)
    tell("Your password is changed; your other sessions ended.")


@app.command("disable")
def disable_user(context: typer.Context, user: UserName) -> None:
    """Keep somebody out, at once and everywhere, until they are enabled again."""
    with options_of(context).client() as client:
        client.users.change(user, disabled=True)
    tell(f"{safe_text(user)} is disabled and logged out everywhere.")


@app.command("enable")
def enable_user(context: typer.Context, user: UserName) -> None:
    """Let somebody in again."""
    with options_of(context).client() as client:
        client.users.change(user, disabled=False)
    tell(f"{safe_text(user)} may log in again.")


@app.command("reset-mfa")
def reset_factors(context: typer.Context, user: UserName, yes: Yes = False) -> None:
    """Remove all second factors of somebody who lost them; they log in with the password and set up new ones."""
    _confirm(f"Remove the second factors of {safe_text(user)}?", yes)
    with options_of(context).client() as client:
        client.users.reset_factors(user)
    tell(f"{safe_text(user)} has no second factor any more, and is logged out everywhere.")


@app.command("remove")
def remove_user(context: typer.Context, user: UserName, yes: Yes = False) -> None:
    """Remove a user, with sessions, roles and tokens. The name is never given again."""
    _confirm(f"Remove the user {safe_text(user)} for ever?", yes)
    with options_of(context).client() as client:
        client.users.remove(user)
    tell(f"{safe_text(user)} is removed.")


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInputError(f"{question} This needs a confirmation.", hint="Add --yes.")
    if not typer.confirm(question, err=True):
        say("Nothing is changed.")
        raise typer.Exit(FAILED)
