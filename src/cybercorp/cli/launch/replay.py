"""`cybercorp replay FILE`: a read-only server of its own for the recording on loopback, and the dashboard over it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import msgspec

from cybercorp.cli.failures import FAILED, INTERNAL, OK, UNREACHABLE, USAGE
from cybercorp.cli.launch.children import Child, cybercorp
from cybercorp.cli.launch.local import running_server
from cybercorp.cli.launch.programs import check_terminal, load_dashboard, run_dashboard, serve_recording
from cybercorp.cli.launch.signals import signals_interrupt
from cybercorp.cli.output.progress import progress_bar
from cybercorp.cli.output.writers import say
from cybercorp.client.asynchronous import AsyncClient
from cybercorp.core.errors import (
    CyberCorpError,
    InternalError,
    InvalidInputError,
    MalformedMessageError,
    StorageFullError,
    UnreachableError,
)
from cybercorp.core.units import format_bytes
from cybercorp.security.credentials import OWNER_FILE, Credential
from cybercorp.security.display import safe_text

PROGRESS_FILE = "unpacked"
_TEMPORARY = "CYBERCORP_REPLAY_TEMPORARY"
_LOOK_S = 0.05
_STOP_S = 10.0
_READY_S = 900.0
_ROW_BYTES = 1_500  # a row in the log, before it is sealed, and the chunk that it becomes
_ERRORS: dict[int, type[CyberCorpError]] = {
    FAILED: MalformedMessageError,
    USAGE: InvalidInputError,
    UNREACHABLE: UnreachableError,
    INTERNAL: InternalError,
}


class ReplayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole and sound recording, and how it shall be opened. `folder` is where --data-dir says to unpack it."""

    path: Path
    at_ms: int
    since_ms: int
    until_ms: int
    rows: int
    headless: bool = False
    port: int = 0
    folder: Path | None = None


def replay(plan: ReplayPlan) -> int:
    """Run until the dashboard is quit or a signal comes; then nothing of it is left, neither process nor file."""
    if not plan.headless:
        check_terminal("For scripts there is --info; or serve the file with --headless.")
    with _folder(plan) as folder, signals_interrupt():
        _check_room(plan, folder)
        try:
            if plan.headless:
                return _serve(plan, folder)
            return _open(plan, folder)
        except KeyboardInterrupt:
            return OK


def _serve(plan: ReplayPlan, folder: Path) -> int:
    """In this process; a child of `_open` comes here, too."""
    shares = folder / PROGRESS_FILE

    def tell(share: float) -> None:
        with contextlib.suppress(OSError):
            shares.write_text(f"{share:.4f}")

    told = threading.Thread(target=_say_ready, args=(folder,), daemon=True)
    told.start()
    serve_recording(plan.path, folder, plan.port, tell)
    if os.environ.get(_TEMPORARY):
        shutil.rmtree(folder, ignore_errors=True)  # whoever made it may have been killed
    return OK


def _say_ready(folder: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(CyberCorpError):
            credential = running_server(folder)
            if credential is not None:
                say(f"The recording is served at {credential.url}; ask it with: cybercorp --data-dir {folder} hosts")
                return
        time.sleep(_LOOK_S)


def _open(plan: ReplayPlan, folder: Path) -> int:
    arguments = ("replay", str(plan.path), "--headless", "--data-dir", str(folder))
    child = Child(
        "recording",
        cybercorp(*arguments),
        folder / "logs" / "recording.log",
        {} if plan.folder is not None else {_TEMPORARY: "1"},
    )
    child.start()
    try:
        # What the dashboard needs is loaded while the recording is unpacked.
        threading.Thread(target=load_dashboard, name="load-dashboard", daemon=True).start()
        credential = _await_ready(child, plan, folder)

        def notices() -> list[str]:
            return [] if child.pid is not None else [f"The server of the recording stopped: {child.why()}."]

        return run_dashboard(
            lambda: AsyncClient(credential.url, token=credential.token),
            notices=_once(notices),
            at_ms=plan.at_ms,
            recorded=(plan.since_ms, plan.until_ms),
            title=plan.path.name,
        )
    finally:
        child.stop(_STOP_S)


def _await_ready(child: Child, plan: ReplayPlan, folder: Path) -> Credential:
    deadline = time.monotonic() + _READY_S
    shares = folder / PROGRESS_FILE
    with progress_bar(f"Opening {safe_text(plan.path.name, 60)}", unit="rows") as progress:
        while not child.wait(_LOOK_S):
            if (folder / OWNER_FILE).exists() and (credential := running_server(folder)) is not None:
                return credential
            with contextlib.suppress(OSError, ValueError):
                progress(round(float(shares.read_text()) * plan.rows), plan.rows)
            if time.monotonic() > deadline:
                raise UnreachableError(f"The recording was not open within {_READY_S:.0f} s.")
    message, hint = child.log.failure()
    code = child.exit_code or 0
    raise _ERRORS.get(code, CyberCorpError)(message or f"The recording could not be opened ({child.why()}).", hint=hint)


@contextlib.contextmanager
def _folder(plan: ReplayPlan) -> Iterator[Path]:
    """A folder for the unpacked recording: a temporary one that is removed at the end, or the one that was named."""
    if plan.folder is not None:
        if (plan.folder / OWNER_FILE).exists() or any(plan.folder.glob("*.db")):
            _refuse(plan.folder)
        yield plan.folder
        return
    with tempfile.TemporaryDirectory(prefix="cybercorp-replay-", ignore_cleanup_errors=True) as made:
        yield Path(made)


def _refuse(folder: Path) -> NoReturn:
    raise InvalidInputError(
        f"{folder} holds the data of a server already.", hint="Leave --data-dir out, or name an empty folder."
    )


def _check_room(plan: ReplayPlan, folder: Path) -> None:
    place = folder if folder.exists() else Path(tempfile.gettempdir())
    needed = plan.rows * _ROW_BYTES + (64 << 20)
    free = shutil.disk_usage(place).free
    if free < needed:
        raise StorageFullError(
            f"{place} has {format_bytes(free)} free; the open recording needs about {format_bytes(needed)}.",
            hint="Free some, or set TMPDIR to another place.",
        )


def _once(ask: Callable[[], list[str]]) -> Callable[[], list[str]]:
    """The first message only."""
    said: list[str] = []

    def told() -> list[str]:
        found = [] if said else ask()
        said.extend(found)
        return found

    return told
