"""Hosts on the wire: identity and facts, and the summary row that the fleet view shows."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from cybercorp.core.errors import InvalidInputError

MAX_HOST_NAME = 253  # RFC 1035, section 3.1


def check_host_name(name: str) -> str:
    """A name an agent may call itself: 1–253 printable characters, no blank, no slash. Raises InvalidInputError."""
    if not 0 < len(name) <= MAX_HOST_NAME or not name.isprintable() or set(name) & {" ", "/"}:
        raise InvalidInputError(
            "A host name has 1 to 253 printable characters, without blanks and slashes.",
            hint="Choose one with --name.",
        )
    return name


class HostState(StrEnum):
    """`online` sends, `stale` has missed some intervals, `offline` has been silent for over a minute."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What rarely changes about a machine (OpenTelemetry resource attributes host.*, os.*)."""

    hostname: str = ""
    os_type: str = ""
    os_description: str = ""
    kernel: str = ""
    arch: str = ""
    model: str = ""
    cpu_model: str = ""
    cpu_count: int = 0
    memory_bytes: int = 0
    boot_time_ms: int = 0
    boot_id: str = ""
    addresses: list[str] = []
    virtualization: str = ""
    agent_version: str = ""
    timezone: str = ""


class HostSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the fleet. Ratios are 0–1 (`cpu` over all cores), rates in bytes a second, None is unknown.

    `cpu_history` holds the last five minutes in steps of ten seconds, oldest first: one byte a step, 0–200 for
    0–100 % in half per cents, 255 for unknown.
    """

    id: str
    name: str
    state: HostState
    seen_at_ms: int | None = None
    labels: dict[str, str] = {}
    cpu: float | None = None
    memory: float | None = None
    disk: float | None = None
    network_receive: float | None = None
    network_transmit: float | None = None
    load: float | None = None
    top_process: str | None = None
    top_process_cpu: float | None = None
    cpu_history: bytes = b""
    alerts: int = 0


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A host: who it is, what it is made of, and its summary."""

    id: str
    name: str
    state: HostState
    joined_at_ms: int
    seen_at_ms: int | None = None
    labels: dict[str, str] = {}
    facts: HostFacts = msgspec.field(default_factory=HostFacts)
    interval_ms: int = 1000
    clock_offset_ms: int | None = None
    agent_state: str = ""
    summary: HostSummary | None = None

    @property
    def latest(self) -> dict[str, float | None]:
        """The newest values by their short names: `cpu mem disk net_rx net_tx load`."""
        row = self.summary
        if row is None:
            return {}
        return {
            "cpu": row.cpu,
            "mem": row.memory,
            "disk": row.disk,
            "net_rx": row.network_receive,
            "net_tx": row.network_transmit,
            "load": row.load,
        }


class HostChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change about a host: labels to set (None removes one), a new name. What is absent stays."""

    labels: dict[str, str | None] = {}
    name: str | None = None


class HostSort(StrEnum):
    """The columns that the fleet can be sorted by."""

    NAME = "name"
    STATE = "state"
    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    NETWORK_RECEIVE = "network_receive"
    NETWORK_TRANSMIT = "network_transmit"
    LOAD = "load"
    SEEN = "seen"


class FleetCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many hosts match, by state."""

    total: int = 0
    online: int = 0
    stale: int = 0
    offline: int = 0


class HostsWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A window of the sorted, filtered fleet: rows `offset … offset+len(rows)` of `counts.total`.

    `pinned` is the row of the host that the viewer has selected and `pinned_rank` its place in the order, also
    when it lies outside the window; both None when no host is pinned or it no longer matches.
    """

    timestamp_ms: int
    offset: int
    counts: FleetCounts
    rows: list[HostSummary]
    pinned: HostSummary | None = None
    pinned_rank: int | None = None
