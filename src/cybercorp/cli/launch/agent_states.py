"""What the agents of this machine have left on disk: whom they joined, whether they run, what waits to be sent."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from cybercorp.agent.lock import LOCK_FILE
from cybercorp.agent.settings import AGENTS_FOLDER, AgentSettings
from cybercorp.core.errors import CyberCorpError
from cybercorp.core.settings import load_settings
from cybercorp.security.credentials import AGENT_FILE, read_credential


class AgentState(msgspec.Struct, frozen=True, kw_only=True):
    """One state folder. `pid` is None where no agent runs on it; `problem` says why its credential is no use."""

    name: str
    host_id: str
    url: str
    pid: int | None
    spool_bytes: int
    folder: str
    problem: str = ""


def agent_states(data_dir: Path) -> list[AgentState]:
    """Every agent that has joined or runs with a state folder in `data_dir`, and the one that the settings name."""
    folders = {path.parent for path in (data_dir / AGENTS_FOLDER).glob(f"*/{AGENT_FILE}")}
    folders |= {path.parent for path in (data_dir / AGENTS_FOLDER).glob(f"*/{LOCK_FILE}")}
    configured = load_settings(AgentSettings, program="agent")
    if configured.state_dir is not None:
        folders.add(configured.state_path())
    states = [_state(folder) for folder in sorted(folders)]
    return [state for state in states if state.url or state.problem or state.pid is not None]


def _state(folder: Path) -> AgentState:
    problem = ""
    credential = None
    try:
        credential = read_credential(folder / AGENT_FILE)
    except CyberCorpError as error:
        problem = str(error)
    size = 0
    with contextlib.suppress(OSError):
        size = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file() and "spool" in str(one))
    return AgentState(
        name=(credential.name if credential else "") or folder.name,
        host_id=credential.host_id if credential else "",
        url=credential.url if credential else "",
        pid=_running_pid(folder),
        spool_bytes=size,
        folder=str(folder),
        problem=problem,
    )


def _running_pid(folder: Path) -> int | None:
    """The holder of the lock file, where a process of that number is one of ours. The lock itself is never touched."""
    try:
        pid = int((folder / LOCK_FILE).read_text(encoding="utf-8").strip() or "0")
        if pid <= 0:
            return None
        os.kill(pid, 0)
    except PermissionError:
        return pid
    except (OSError, ValueError, UnicodeDecodeError):
        return None
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return pid if b"cybercorp" in command else None
    return pid
