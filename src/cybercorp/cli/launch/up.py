"""`cybercorp up`: server and agent as children on loopback, and the dashboard over them."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import msgspec

from cybercorp.cli.failures import ACCESS, INTERNAL, OK, UNREACHABLE, USAGE
from cybercorp.cli.launch.children import Child, cybercorp
from cybercorp.cli.launch.local import choose_port, only_up, running_server
from cybercorp.cli.launch.programs import check_terminal, load_dashboard, run_dashboard
from cybercorp.cli.launch.signals import signals_interrupt
from cybercorp.cli.launch.supervisor import Supervisor
from cybercorp.client.asynchronous import AsyncClient
from cybercorp.client.synchronous import Client
from cybercorp.core.errors import (
    AccessError,
    CyberCorpError,
    InternalError,
    InvalidInputError,
    UnreachableError,
)
from cybercorp.core.paths import ensure_private_dir
from cybercorp.core.settings import load_settings
from cybercorp.core.units import format_ratio
from cybercorp.security.credentials import Credential
from cybercorp.security.display import safe_text

_HOST = "127.0.0.1"
_READY_S = 120.0  # a large history is read at start
_ATTACH_S = 20.0
_FIRST_NUMBERS_S = 30.0
_LOOK_S = 0.05
_ENROLMENT_S = 600
_TOKEN_VARIABLE = "CYBERCORP_AGENT_ENROLMENT_TOKEN"  # noqa: S105 - a variable's name
_ERRORS: dict[int, type[CyberCorpError]] = {
    USAGE: InvalidInputError,
    ACCESS: AccessError,
    UNREACHABLE: UnreachableError,
    INTERNAL: InternalError,
}


class UpPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What `up` was asked for. `port` None means the configured one, or the next free one after it."""

    data_dir: Path
    headless: bool = False
    port: int | None = None
    agent: bool = True


def up(plan: UpPlan, say: Callable[[str], None]) -> int:
    """Run until the dashboard is quit or a signal comes; then nothing that was started here is left running."""
    if not plan.headless:
        check_terminal("Run it without a dashboard: cybercorp up --headless")
    ensure_private_dir(plan.data_dir)
    with only_up(plan.data_dir) as alone:
        credential = running_server(plan.data_dir) if alone else _await_other(plan.data_dir)
        if credential is not None:
            return _attach(credential, plan, say)
        return _run(plan, say)


def _attach(credential: Credential, plan: UpPlan, say: Callable[[str], None]) -> int:
    if plan.port is not None and not credential.url.endswith(f":{plan.port}"):
        say(f"--port {plan.port} is not used: the server of this data already runs.")
    if plan.headless:
        say(f"CyberCorp is already running at {credential.url} with the data in {plan.data_dir}.")
        return 0
    return run_dashboard(lambda: _client(credential))


def _await_other(data_dir: Path) -> Credential:
    deadline = time.monotonic() + _ATTACH_S
    while time.monotonic() < deadline:
        credential = running_server(data_dir)
        if credential is not None:
            return credential
        time.sleep(_LOOK_S)
    raise CyberCorpError(
        f"Another `cybercorp up` holds {data_dir}, but its server does not answer.",
        hint=f"Read {data_dir / 'logs' / 'server.log'}, or end the other one and try again.",
    )


def _run(plan: UpPlan, say: Callable[[str], None]) -> int:
    began = time.monotonic()
    wanted = plan.port if plan.port is not None else _configured_port()
    port = choose_port(_HOST, wanted, given=plan.port is not None)
    supervisor = Supervisor(say if plan.headless else None)
    if port != wanted != 0:
        supervisor.notice(f"Port {wanted} is in use by another program; using {port}.")
    try:
        with signals_interrupt():
            code = _supervise(plan, supervisor, port, began, say)
    except KeyboardInterrupt:
        code = OK
    finally:
        with _signals_kill(supervisor):
            supervisor.stop()
    say("Stopped." if plan.headless else f"Stopped {_parts(plan)}; the history stays.")
    return code


def _supervise(plan: UpPlan, supervisor: Supervisor, port: int, began: float, say: Callable[[str], None]) -> int:
    server = _server_child(plan.data_dir, port)
    supervisor.add(server)
    server.start()
    if not plan.headless:
        say(f"Starting {_parts(plan)} for this machine …")
        # What the dashboard needs is loaded while the server starts: 0.3 s sooner on the screen.
        threading.Thread(target=load_dashboard, name="load-dashboard", daemon=True).start()
    credential = _await_ready(server, plan.data_dir, port)
    supervisor.watch(server)
    if plan.agent:
        agent = _agent_child(plan.data_dir, credential.url)
        supervisor.add(agent)
        supervisor.watch(agent, prepare=_enroller(credential))
    if not plan.headless:
        return run_dashboard(lambda: _client(credential), notices=supervisor.take_notices)
    say(f"The server is ready at {credential.url} ({time.monotonic() - began:.1f} s); its data is in {plan.data_dir}.")
    if plan.agent:
        threading.Thread(target=_say_first_numbers, args=(credential, began, say), daemon=True).start()
    say(f"Press Ctrl-C to stop {_parts(plan)}.")
    threading.Event().wait()
    return OK


def _parts(plan: UpPlan) -> str:
    """What this `up` starts, as its messages say it."""
    return "server and agent" if plan.agent else "the server"


def _configured_port() -> int:
    from cybercorp.server.settings import ServerSettings

    return load_settings(ServerSettings, program="server").port


def _server_child(data_dir: Path, port: int) -> Child:
    command = cybercorp("server", "run", "--host", _HOST, "--port", str(port), "--data-dir", str(data_dir))
    return Child("server", command, data_dir / "logs" / "server.log")


def _agent_child(data_dir: Path, url: str) -> Child:
    state_dir = data_dir / "agents" / "default"
    command = cybercorp("agent", "run", "--url", url, "--data-dir", str(data_dir), "--state-dir", str(state_dir))
    return Child("agent", command, data_dir / "logs" / "agent.log")


def _await_ready(server: Child, data_dir: Path, port: int) -> Credential:
    """The owner's credential of the server that has just started, as soon as it answers with it."""
    deadline = time.monotonic() + _READY_S
    while not server.wait(_LOOK_S):
        credential = running_server(data_dir)
        if credential is not None and credential.url.endswith(f":{port}"):
            return credential
        if time.monotonic() > deadline:
            raise UnreachableError(
                f"The server did not get ready within {_READY_S:.0f} s.", hint=f"Read its log: {server.log.path}"
            )
    message, hint = server.log.failure()
    code = server.exit_code or 0
    raise _ERRORS.get(code, CyberCorpError)(
        message or f"The server could not start ({server.why()}).", hint=hint or f"Read its log: {server.log.path}"
    )


def _enroller(credential: Credential) -> Callable[[Child], None]:
    """Before each start: a fresh enrolment token, used where the agent has no credential or its own is refused."""

    def prepare(agent: Child) -> None:
        with Client(credential.url, token=credential.token) as client:
            agent.environ[_TOKEN_VARIABLE] = client.agents.create_enrolment(expires_in_s=_ENROLMENT_S).token

    return prepare


def _client(credential: Credential) -> AsyncClient:
    return AsyncClient(credential.url, token=credential.token)


def _say_first_numbers(credential: Credential, began: float, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + _FIRST_NUMBERS_S
    with contextlib.suppress(CyberCorpError), Client(credential.url, token=credential.token) as client:
        while time.monotonic() < deadline:
            for host in client.hosts.list("state=online"):
                cpu = host.latest.get("cpu")
                if cpu is not None:
                    elapsed = time.monotonic() - began
                    say(f"{safe_text(host.name)} is live ({elapsed:.1f} s): CPU {format_ratio(cpu)}.")
                    return
            time.sleep(_LOOK_S)
    say("No live numbers yet; see: cybercorp doctor")


@contextlib.contextmanager
def _signals_kill(supervisor: Supervisor) -> Iterator[None]:
    """While everything stops in order, a second Ctrl-C or SIGTERM ends it at once."""

    def kill(number: int, frame: FrameType | None) -> None:
        supervisor.kill()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, kill)
    yield
