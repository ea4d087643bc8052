"""The agent's settings: `<config>/agent.toml`, `CYBERCORP_AGENT_…`, flags. The reference page is made from this."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec

from cybercorp.core.errors import SettingsError
from cybercorp.core.paths import data_dir
from cybercorp.monitors.settings import MonitorSettings
from cybercorp.protocol.hosts import check_host_name
from cybercorp.security.credentials import AGENT_FILE

AGENTS_FOLDER = "agents"
_DEFAULT_FOLDER = "default"


def _described(text: str) -> msgspec.Meta:
    return msgspec.Meta(description=text)


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about an agent that a person may set. The description of each field is the reference."""

    url: Annotated[
        str | None, _described("Address of the server. Default: the one this agent joined, written in agent.json.")
    ] = None
    enrolment_token: Annotated[
        str | None,
        _described("Join with this token when the agent has not joined yet, or the server does not know it."),
    ] = None
    pins: Annotated[
        list[str], _described("Pins of the server's authority (sha256:…), to join with; `cybercorp enroll` prints one.")
    ] = []
    name: Annotated[str | None, _described("Name to join with. Default: this machine's host name.")] = None
    state_dir: Annotated[
        str | None,
        _described("Folder of agent.json and the spool. Default: agents/<name> in the data folder."),
    ] = None
    interval_ms: Annotated[int, _described("Milliseconds between two samples, 100 to 3600000.")] = 1000
    top_processes: Annotated[
        int, _described("How many processes with most CPU, and with most memory, history keeps; 0: none.")
    ] = 20
    top_processes_interval_s: Annotated[float, _described("Seconds between two process tables for history.")] = 10.0
    spool_max_bytes: Annotated[
        int,
        _described("How much the spool may hold while the server is away; then the oldest is dropped and reported."),
    ] = 256 * 1024 * 1024
    key_source: Annotated[
        str | None,
        _described(
            "Where the key that encrypts the spool comes from: file:PATH, credential:NAME (systemd), keyring:NAME or"
            " command:WORDS. Default: systemd's credential cybercorp-key, else a file in the state folder."
        ),
    ] = None
    connect_timeout_s: Annotated[float, _described("Seconds to wait for the server when connecting.")] = 10.0
    monitors: Annotated[MonitorSettings, _described("Which monitors run, how often, and what they leave out.")] = (
        msgspec.field(default_factory=MonitorSettings)
    )

    def check(self) -> None:
        """Refuse values that cannot work. Raises SettingsError and InvalidInputError."""
        _within("interval_ms", self.interval_ms, 100, 3_600_000)
        _within("top_processes", self.top_processes, 0, 1000)
        _within("top_processes_interval_s", self.top_processes_interval_s, 1, 86_400)
        _within("spool_max_bytes", self.spool_max_bytes, 1024 * 1024, 1 << 40)
        _within("connect_timeout_s", self.connect_timeout_s, 0.1, 300)
        if self.name is not None:
            check_host_name(self.name)

    def state_path(self) -> Path:
        """The state folder. Without name and folder: that of the one agent which has joined here, else `default`."""
        if self.state_dir is not None:
            return Path(self.state_dir).expanduser()
        agents = data_dir() / AGENTS_FOLDER
        if self.name is not None:
            return agents / quote(self.name, safe=" ,+@").replace(".", "%2E", 1 if self.name.startswith(".") else 0)
        default = agents / _DEFAULT_FOLDER
        joined = [] if (default / AGENT_FILE).exists() else list(agents.glob(f"*/{AGENT_FILE}"))
        return joined[0].parent if len(joined) == 1 else default


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsError(f"The setting '{name}' is {value:g}.", hint=f"Use {low:g} to {high:g}.")
