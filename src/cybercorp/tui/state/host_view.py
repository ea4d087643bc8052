"""What the host screen shows: one host at one instant, live or past, and what each panel says about it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

from cybercorp.core.units import UNKNOWN, format_bytes, format_seconds
from cybercorp.protocol.hosts import Host
from cybercorp.protocol.metrics import HostLatest
from cybercorp.protocol.processes import ProcessTable
from cybercorp.security.display import safe_text
from cybercorp.tui.state.host_cpu import cpu_panel
from cybercorp.tui.state.host_devices import (
    disks_panel,
    filesystems_panel,
    has_sensors,
    network_panel,
    sensors_panel,
)
from cybercorp.tui.state.host_layout import PANELS
from cybercorp.tui.state.host_memory import load_panel, memory_panel, pressure_panel
from cybercorp.tui.state.host_metrics import HostMetrics
from cybercorp.tui.state.host_panels import Canvas, PanelText, message
from cybercorp.tui.state.host_tracks import Track
from cybercorp.tui.state.lines import Line, Run, Tone, line_width
from cybercorp.tui.state.processes import ProcessModel
from cybercorp.tui.state.processes_moments import Moments

TITLES = {
    "cpu": "CPU",
    "memory": "Memory",
    "disks": "Disk I/O",
    "network": "Network",
    "filesystems": "Filesystems",
    "load": "Load",
    "pressure": "Pressure",
    "sensors": "Sensors",
}
_DRAW: dict[str, Callable[[HostMetrics, Canvas], PanelText]] = {
    "cpu": cpu_panel,
    "memory": memory_panel,
    "disks": disks_panel,
    "network": network_panel,
    "filesystems": filesystems_panel,
    "load": load_panel,
    "pressure": pressure_panel,
    "sensors": sensors_panel,
}
_LAG_MS = 5_000
_SELECTOR_SIGNS = re.compile(r"[*?\[\]=!<>]")


class HostView:
    """The state behind the host screen. `name` is the host's name or id; `at_ms` None means live."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.shown_name = safe_text(name, 60)
        self.host: Host | None = None
        self.at_ms: int | None = None
        self.live = HostMetrics()
        self.past: HostMetrics | None = None
        self.processes = ProcessModel()
        self.moments = Moments()
        self.table: ProcessTable | None = None
        self.trouble = ""

    @property
    def metrics(self) -> HostMetrics:
        """The metrics of the instant that is shown."""
        return self.live if self.past is None else self.past

    @property
    def cores(self) -> int:
        """How many cores the host has, at least one."""
        facts = self.host.facts.cpu_count if self.host is not None else 0
        return max(len(self.metrics.catalogue.cores), facts, 1)

    def know(self, host: Host) -> None:
        """Who this host is became known."""
        self.host = host
        self.shown_name = safe_text(host.name, 60)

    def selector(self) -> str:
        """A host selector that matches the name whatever signs are in it (others may match too: filter by id)."""
        return _SELECTOR_SIGNS.sub("?", self.name if self.host is None else self.host.name)

    def add_processes(self, table: ProcessTable) -> None:
        """A live table has come."""
        self.table = table
        self.moments.add(table)

    def replay(self, at_ms: int, latest: HostLatest | None, tracks: dict[str, Track]) -> None:
        """Show a past instant from what the store knows about it: values (None: nothing), and the minutes before."""
        self.at_ms = at_ms
        past = HostMetrics()
        past.interval_ms = self.live.interval_ms if self.live.known or self.host is None else self.host.interval_ms
        past.take_tracks(tracks)
        if latest is not None:
            past.set_latest(latest, at_ms)
        self.past = past

    def go_live(self) -> None:
        """Show what comes in."""
        self.at_ms = None
        self.past = None

    def panel(self, name: str, canvas: Canvas) -> PanelText:
        """The content of a panel, or why it has none."""
        if self.metrics.known:
            return _DRAW[name](self.metrics, canvas)
        return message(TITLES[name], self.silence, canvas)

    @property
    def silence(self) -> str:
        """Why there are no numbers."""
        if self.trouble:
            return self.trouble
        if self.at_ms is not None:
            return f"Nothing is recorded at {clock(self.at_ms)}."
        return "Waiting for the first numbers…"

    @property
    def lag_s(self) -> int | None:
        """How long before the past instant the last numbers are, where that is longer than the host's interval."""
        shown = self.metrics.timestamp_ms
        if self.at_ms is None or self.past is None or shown is None:
            return None
        lag_ms = self.at_ms - shown
        return lag_ms // 1000 if lag_ms > max(3 * self.metrics.interval_ms, _LAG_MS) else None

    def wants(self) -> dict[str, int]:
        """How many lines each panel would fill. What this host does not have is not there."""
        catalogue = self.metrics.catalogue
        if not self.metrics.known:
            return {name: 4 for name in PANELS if name not in ("sensors", "pressure")}
        cores = len(catalogue.cores)
        sensors = len(catalogue.temperatures) + len(catalogue.fans) + len(catalogue.batteries) + len(catalogue.gpus)
        mounted = len({one.device if "/" in one.device else one.mountpoint for one in catalogue.filesystems})
        wants = {
            "cpu": 8 + min(cores // 4, 8),
            "memory": 8,
            "disks": len(catalogue.disks) + 1,
            "network": len(catalogue.networks) + 1,
            "filesystems": mounted,
            "load": 4,
            "pressure": len({resource for resource, _ in catalogue.pressure}) or 1,
        }
        if has_sensors(self.metrics):
            wants["sensors"] = sensors
        return {name: max(lines, 1) for name, lines in wants.items()}

    def header(self, width: int, *, now_ms: int) -> Line:
        """Name · system · cores · memory · up · labels, as much as fits."""
        line: Line = [Run(self.shown_name, Tone.TITLE)]
        if self.host is None:
            return line
        facts = self.host.facts
        lag = self.lag_s
        if lag is not None:
            line += [Run("  ", Tone.MUTED), Run(f"◌ nothing recorded for {lag} s", Tone.WARNING)]
        limit = self.metrics.value(self.metrics.catalogue.memory_limit)
        memory = limit if limit is not None else float(facts.memory_bytes)
        up = self.metrics.value(self.metrics.catalogue.uptime)
        if up is None and facts.boot_time_ms and self.at_ms is None:
            up = max(now_ms - facts.boot_time_ms, 0) / 1000
        parts = [
            (safe_text(facts.os_description or facts.os_type, 40), Tone.TEXT),
            (f"{self.cores} core{'s' if self.cores > 1 else ''}", Tone.MUTED),
            (format_bytes(memory) if memory else "", Tone.MUTED),
            (f"up {format_seconds(up)}" if up is not None else "", Tone.MUTED),
            (
                " ".join(f"{safe_text(k, 30)}={safe_text(v, 30)}" for k, v in sorted(self.host.labels.items())),
                Tone.SECOND,
            ),
            (safe_text(facts.cpu_model, 60), Tone.MUTED),
        ]
        used = line_width(line)
        for text, tone in parts:
            run = [Run("  ·  " if width >= 100 else " · ", Tone.BORDER), Run(text, tone)]
            if not text or used + line_width(run) > width:
                continue
            line += run
            used += line_width(run)
        return line


def clock(at_ms: int) -> str:
    """The local time of day of an instant; unknown where a host's clock says what no calendar has."""
    try:
        return f"{dt.datetime.fromtimestamp(at_ms / 1000).astimezone():%H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return UNKNOWN
