"""Server, agent and dashboard in this process. Each is imported when it is started: they are what takes time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cybercorp.cli.launch.lifeline import hold_lifeline
from cybercorp.cli.output.writers import say
from cybercorp.core.errors import InvalidInputError, UnauthenticatedError
from cybercorp.core.settings import load_settings
from cybercorp.security.display import safe_text

if TYPE_CHECKING:
    from cybercorp.client.asynchronous import AsyncClient


def run_server(overrides: Mapping[str, Any]) -> None:
    """Run the server until it is told to stop."""
    hold_lifeline()
    from cybercorp.server.main import run_server as run
    from cybercorp.server.settings import ServerSettings

    run(load_settings(ServerSettings, program="server", overrides=overrides))


def run_agent(overrides: Mapping[str, Any]) -> None:
    """Run the agent until it is told to stop."""
    hold_lifeline()
    from cybercorp.agent.main import run_agent as run
    from cybercorp.agent.settings import AgentSettings

    run(load_settings(AgentSettings, program="agent", overrides=overrides))


def join_agent(url: str, enrolment_token: str, overrides: Mapping[str, Any]) -> None:
    """Join a server at once, or say why that fails; then run the agent until it is told to stop."""
    from cybercorp.agent.enrolment import join
    from cybercorp.agent.lock import StateLock
    from cybercorp.agent.main import run_agent as run
    from cybercorp.agent.settings import AgentSettings

    settings = load_settings(AgentSettings, program="agent", overrides={**overrides, "url": url})
    settings.check()
    state_dir = settings.state_path()
    lock = StateLock(state_dir)  # an agent that runs here must not have its credential changed under it
    try:
        credential = join(
            url,
            enrolment_token,
            state_dir=state_dir,
            name=settings.name,
            pins=settings.pins,
            timeout_s=settings.connect_timeout_s,
        )
    except UnauthenticatedError as error:
        hint = "Make a new one on the server's side with: cybercorp enroll"
        raise UnauthenticatedError("This enrolment token is unknown, used up or expired.", hint=hint) from error
    finally:
        lock.release()
    say(f"Joined {credential.url} as {safe_text(credential.name)}. Ctrl-C stops the agent; later: cybercorp agent run")
    run(settings)


def run_dashboard(
    client_factory: Callable[[], AsyncClient],
    *,
    notices: Callable[[], list[str]] | None = None,
    at_ms: int | None = None,
    recorded: tuple[int, int] | None = None,
    title: str = "",
) -> int:
    """Open the dashboard until it is quit; at an instant, and for a recording within its span (Unix ms)."""
    from cybercorp.tui.app import run_dashboard as run

    return run(client_factory, notices=notices, at_ms=at_ms, recorded=recorded, title=title)


def serve_recording(path: Path, folder: Path, port: int, tell: Callable[[float], None]) -> None:
    """Serve a recording until it is told to stop."""
    hold_lifeline()
    from cybercorp.server.recordings import run_recording

    run_recording(path, folder, port=port, tell=tell)


def load_dashboard() -> None:
    """Import what `run_dashboard` needs."""
    import cybercorp.tui.app  # noqa: F401


def check_terminal(alternative: str) -> None:
    """Raises InvalidInputError where there is no terminal for a dashboard."""
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):  # it is drawn on stderr
        raise InvalidInputError("The dashboard needs a terminal, and this is none.", hint=alternative)
