"""`cybercorp agent`: the agents of this machine: run one, join one to a server, ask what they do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cybercorp.cli.groups import noun
from cybercorp.cli.options import Options, options_of, read_token
from cybercorp.cli.output.columns import Column
from cybercorp.cli.output.formats import OutputFormat
from cybercorp.cli.output.writers import write_rows
from cybercorp.cli.parameters import Output
from cybercorp.cli.questions import ask_secret, can_ask
from cybercorp.core.errors import InvalidInputError
from cybercorp.core.units import UNKNOWN
from cybercorp.security.tokens import TokenKind, token_kind

if TYPE_CHECKING:
    from cybercorp.cli.launch.agent_states import AgentState

app = noun("Run the agent of this machine, join it to a server, ask its state.")

Name = Annotated[str | None, typer.Option(metavar="NAME", help="The host's name; without it this machine's.")]
StateDir = Annotated[
    Path | None, typer.Option("--state-dir", metavar="FOLDER", help="Where its credential and its spool are.")
]
Interval = Annotated[
    int | None, typer.Option("--interval-ms", min=100, max=3_600_000, help="Milliseconds between two samples.")
]

COLUMNS: tuple[Column[AgentState], ...] = (
    Column(key="name", value=lambda agent: agent.name, style=lambda agent: "bold", flexible=True),
    Column(
        key="running",
        value=lambda agent: agent.pid is not None,
        text=lambda agent: UNKNOWN if agent.pid is None else f"pid {agent.pid}",
    ),
    Column(key="server", value=lambda agent: agent.url or None),
    Column(key="host_id", value=lambda agent: agent.host_id or None, rank=2),
    Column(key="spool_bytes", title="SPOOL", value=lambda agent: agent.spool_bytes, unit="By", right=True, rank=1),
    Column(key="folder", value=lambda agent: agent.folder, rank=3, flexible=True),
    Column(key="problem", value=lambda agent: agent.problem or None, rank=1, flexible=True),
    Column(key="pid", value=lambda agent: agent.pid, detail=True),
)


@app.command("status")
def agent_status(context: typer.Context, output: Output = OutputFormat.TABLE) -> None:
    """Show the agents of this machine: whom they joined, whether they run, what waits to be sent."""
    options = options_of(context)
    from cybercorp.cli.launch.agent_states import agent_states

    empty = "No agent has run here yet. Start one: cybercorp up, or join a server: cybercorp agent join URL"
    write_rows(agent_states(options.data_dir), COLUMNS, output, options, empty=empty)


@app.command("run")
def run_agent(
    context: typer.Context, name: Name = None, state_dir: StateDir = None, interval_ms: Interval = None
) -> None:
    """Run an agent that has joined, in the foreground, until Ctrl-C or SIGTERM."""
    options = options_of(context)
    from cybercorp.cli.launch import programs

    _use_data_dir(options)
    token = read_token(options.token_file) if options.token_file else None
    programs.run_agent(
        {
            "url": options.url,
            "enrolment_token": token,
            "name": name,
            "state_dir": str(state_dir) if state_dir else None,
            "interval_ms": interval_ms,
        }
    )


@app.command("join")
def join_agent(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="The server's address.")],
    pins: Annotated[
        list[str] | None,
        typer.Option("--pin", metavar="PIN", help="The key of the server's authority; `cybercorp enroll` prints it."),
    ] = None,
    name: Name = None,
    state_dir: StateDir = None,
    interval_ms: Interval = None,
) -> None:
    """Join a server with an enrolment token and run. Later: cybercorp agent run

    The token is read from CYBERCORP_TOKEN or from --token-file (- is stdin), else it is asked for: everybody on a
    machine can read its command lines.
    """
    options = options_of(context)
    given = read_token(options.token_file) if options.token_file else os.environ.get("CYBERCORP_TOKEN", "").strip()
    if not given and can_ask():
        given = ask_secret("Enrolment token (cybercorp enroll prints it)", option="--token-file").strip()
    check_enrolment_token(given)
    from cybercorp.cli.launch import programs

    _use_data_dir(options)
    folder = str(state_dir) if state_dir else None
    programs.join_agent(url, given, {"name": name, "state_dir": folder, "interval_ms": interval_ms, "pins": pins})


def check_enrolment_token(token: str) -> None:
    """Refuse what cannot be an enrolment token before anything is asked over the network. Raises InvalidInputError."""
    hint = "Make one on the server's side with: cybercorp enroll"
    if not token:
        raise InvalidInputError("No enrolment token was given (CYBERCORP_TOKEN or --token-file).", hint=hint)
    kind = token_kind(token)
    if kind is None:
        raise InvalidInputError("This is no token: a letter is wrong or missing.", hint=f"Copy it again. {hint}")
    if kind is not TokenKind.ENROLMENT:
        raise InvalidInputError(f"This is the token of an {kind}, not an enrolment token.", hint=hint)


def _use_data_dir(options: Options) -> None:
    # The agent takes over this process; its folders follow from the same variable as everybody's.
    if options.named_data_dir is not None:
        os.environ["CYBERCORP_DATA_DIR"] = str(options.named_data_dir)
