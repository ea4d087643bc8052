"""The top level of the command line: the table of commands, the options of all of them, the handler of all errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer._completion_classes import completion_init
from typer.main import get_command

from cybercorp.cli.failures import OK, report
from cybercorp.cli.groups import CONTEXT_SETTINGS, Entry, LazyGroup
from cybercorp.cli.options import Options, hoist
from cybercorp.cli.output.encodings import prepare_streams
from cybercorp.core.version import VERSION

COMPLETE_VARIABLE = "_CYBERCORP_COMPLETE"
_START, _LOOK, _TRUST, _PARTS, _HELP = "Start", "Look", "Trust", "Parts of it", "Help"


def _entry(section: str, summary: str, module: str) -> Entry:
    return Entry(section, summary, f"cybercorp.cli.commands.{module}")


class CyberCorpGroup(LazyGroup):
    """Every command of `cybercorp`."""

    entries = {  # noqa: RUF012 - ClassVar in the parent
        "up": _entry(_START, "Start server and agent for this machine, and open the dashboard.", "up"),
        "tui": _entry(_START, "Open the dashboard of a running server.", "tui"),
        "enroll": _entry(_START, "Print the one line that adds another machine.", "enroll"),
        "replay": _entry(_START, "Open the dashboard at a past instant, or a recording without a server.", "replay"),
        "hosts": _entry(_LOOK, "List, show, label, rename and remove hosts.", "hosts"),
        "metrics": _entry(_LOOK, "List metrics; query them and draw them.", "metrics"),
        "ps": _entry(_LOOK, "List the processes of hosts, now or at a past instant.", "ps"),
        "events": _entry(_LOOK, "List what happened, or follow it live.", "events"),
        "export": _entry(_LOOK, "Save part of the history as one file for `replay`.", "export"),
        "login": _entry(_TRUST, "Log in to a server.", "login"),
        "logout": _entry(_TRUST, "End the session.", "logout"),
        "whoami": _entry(_TRUST, "Show who you are to the server, and what you may do.", "whoami"),
        "users": _entry(_TRUST, "List, make, change and remove users.", "users"),
        "sessions": _entry(_TRUST, "List and end sessions.", "sessions"),
        "roles": _entry(_TRUST, "List, make and remove roles.", "roles"),
        "bindings": _entry(_TRUST, "List, make and remove bindings of users to roles.", "bindings"),
        "access": _entry(_TRUST, "Ask for a role for a while; approve or deny what others ask for.", "access"),
        "tokens": _entry(_TRUST, "List, make and revoke tokens of programs.", "tokens"),
        "mfa": _entry(_TRUST, "Set up second factors, list and remove them.", "mfa"),
        "audit": _entry(_TRUST, "List who did what, verify that nobody changed it, keep a copy.", "audit"),
        "keys": _entry(_TRUST, "Show the keys that encrypt what is stored; rotate them.", "keys"),
        "server": _entry(_PARTS, "Run, check, back up, restore and describe the server.", "server"),
        "agent": _entry(_PARTS, "Run the agent of this machine, join it to a server, ask its state.", "agent"),
        "doctor": _entry(_HELP, "Check that everything is in order, and say what to do where it is not.", "doctor"),
        "bench": _entry(_HELP, "Load a server with simulated agents and viewers, and measure it.", "bench"),
        "completion": _entry(_HELP, "Print the completion script of a shell.", "completion"),
    }
    examples = (
        "cybercorp up",
        "cybercorp hosts 'web-*' --sort cpu",
        "cybercorp metrics query cpu --since 15m",
        "cybercorp ps web-1 --at '3m ago'",
    )


app = typer.Typer(cls=CyberCorpGroup, rich_markup_mode=None, add_completion=False, context_settings=CONTEXT_SETTINGS)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"cybercorp {VERSION}\n")
        raise typer.Exit


def _show_help(context: typer.Context) -> None:
    sys.stdout.write(context.get_help() + "\n")


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="The server's name in profiles.toml.")] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="The server's address.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file that holds the token; - is stdin.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where data and the local credential are.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Print a traceback when something fails.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours, as with NO_COLOR.")] = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """See, replay and steer a whole fleet from your terminal."""
    context.obj = Options(
        profile=profile,
        url=url,
        token_file=token_file,
        named_data_dir=data_dir.expanduser() if data_dir else None,
        debug=debug,
        no_color=no_color,
    )
    if context.invoked_subcommand is None:
        _show_help(context)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Nothing escapes: every error becomes words and a code."""
    debug = "--debug" in arguments
    prepare_streams()
    if COMPLETE_VARIABLE in os.environ:
        completion_init()
    try:
        result = get_command(app).main(
            hoist(arguments), prog_name="cybercorp", complete_var=COMPLETE_VARIABLE, standalone_mode=False
        )
        sys.stdout.flush()
    except SystemExit as done:
        # Typer takes a broken pipe for itself and leaves with 1.
        broken = done.__context__
        return report(broken, debug=debug) if isinstance(broken, BrokenPipeError) else _code_of(done.code)
    except BaseException as error:  # noqa: BLE001 - the last handler: reported, turned into the exit code
        return report(error, debug=debug)
    return _code_of(result)


def _code_of(result: Any) -> int:
    return result if isinstance(result, int) else OK
