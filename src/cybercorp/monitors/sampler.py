"""Every monitor of this machine behind one call: a row of float64 and the catalogue that says what its slots are.

The agent calls `sample` once a second. This is the supervisor of the monitors: one that fails has no values, is
reported once, and never disturbs the others.
"""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Iterable, Sequence

import msgspec

from cybercorp.core.clock import Clock, SystemClock
from cybercorp.monitors.background import BackgroundMonitor
from cybercorp.monitors.machine import MONITORS, machine_monitors
from cybercorp.monitors.monitor import NAN, Monitor, MonitorHealth, PartlyReadError, Scheduled, gauge
from cybercorp.monitors.settings import MonitorSettings
from cybercorp.protocol.events import AgentEvent, EventKind, Severity
from cybercorp.protocol.metrics import Catalogue, Series, make_catalogue

ABSENT_RETRY_S = 60.0  # how often a monitor whose subject this machine lacks looks again
CATALOGUE_BYTES = 240 * 1024  # an announcement has to fit into one message of 256 KiB
_NAMED_DEVICES = 20  # how many devices an event names
_NO_SERIES: tuple[Series, ...] = ()


class _Slot:
    """A monitor, its place in the row and how its last reading went."""

    def __init__(self, scheduled: Scheduled) -> None:
        self.monitor: Monitor = scheduled.monitor
        self.interval_s = scheduled.interval_s
        self.background = scheduled.monitor if isinstance(scheduled.monitor, BackgroundMonitor) else None
        self.series: tuple[Series, ...] = _NO_SERIES  # the ones the row has room for
        self.left_out = ""  # why this monitor has no place in the row although it has series
        self.start = 0
        self.due = float("-inf")
        self.error = ""
        self.duration_s = 0.0


class Sampler:
    """The monitors of this machine. Not thread-safe: one caller. Raises SettingsError for settings that cannot be."""

    def __init__(
        self,
        settings: MonitorSettings | None = None,
        clock: Clock | None = None,
        *,
        monitors: Sequence[Scheduled] | None = None,
    ) -> None:
        """`monitors` are the machine's own where they are not given. Reads every monitor once."""
        settings = settings or MonitorSettings()
        settings.check(MONITORS)
        self._clock: Clock = clock or SystemClock()
        self._slots = [_Slot(one) for one in (machine_monitors(settings) if monitors is None else monitors)]
        self._events: list[AgentEvent] = []
        self._values: array[float] = array("d")
        self._catalogue = make_catalogue(())
        self._own_start = 0
        now = self._clock.monotonic()
        self._arrange(now, [slot for slot in self._slots if not self._read(slot, now)], announce=False)

    @property
    def catalogue(self) -> Catalogue:
        """What the slots of the newest row are; a new one after devices came or went."""
        return self._catalogue

    def sample(self) -> tuple[Catalogue, bytes]:
        """Read what is due: the catalogue, and one little-endian float64 for each of its series (NaN: no value)."""
        now = self._clock.monotonic()
        changed = [slot for slot in self._slots if now >= slot.due and not self._read(slot, now)]
        if changed:
            self._arrange(now, changed, announce=True)
        if sys.byteorder == "little":
            return self._catalogue, self._values.tobytes()
        swapped = self._values[:]
        swapped.byteswap()
        return self._catalogue, swapped.tobytes()

    def health(self) -> list[MonitorHealth]:
        """How every monitor is."""
        return [
            MonitorHealth(
                name=slot.monitor.name,
                ok=not slot.error,
                error=slot.error,
                duration_s=slot.duration_s,
                present=slot.monitor.present,
            )
            for slot in self._slots
        ]

    def take_events(self) -> list[AgentEvent]:
        """What happened since the last call: MONITOR_FAILED, MONITOR_RECOVERED, CATALOGUE_CHANGED."""
        taken, self._events = self._events, []
        return taken

    def close(self) -> None:
        """Let go of every file."""
        for slot in self._slots:
            slot.monitor.close()

    def _read(self, slot: _Slot, now: float) -> bool:
        """Read one monitor into the row; False when it needs another place there."""
        monitor = slot.monitor
        if slot.left_out:
            return True
        if monitor.series is not slot.series:
            return False
        error = ""
        began = time.perf_counter()
        try:
            if not monitor.read(self._values, slot.start, now):
                return False
        except PartlyReadError as partly:
            error = _reason(partly)
        except Exception as failure:  # noqa: BLE001 - one monitor must not stop the others; reported as an event and a series
            error = _reason(failure)
            for index in range(slot.start, slot.start + len(slot.series)):
                self._values[index] = NAN
        slot.duration_s = slot.background.duration_s if slot.background else time.perf_counter() - began
        # A little early, so that a caller whose seconds are a few milliseconds short does not skip a turn.
        slot.due = now + (slot.interval_s * 0.95 if monitor.present else ABSENT_RETRY_S)
        if error != slot.error:
            self._report(slot, error)
        self._write_own(slot)
        return True

    def _write_own(self, slot: _Slot) -> None:
        """Duration and success of a monitor; NaN where this machine has nothing of the kind."""
        if not self._own_start:
            return
        index = self._own_start + 2 * self._slots.index(slot)
        present = slot.monitor.present
        self._values[index] = round(slot.duration_s, 6) if present else NAN  # short decimals are stored small
        self._values[index + 1] = (0.0 if slot.error else 1.0) if present else NAN

    def _report(self, slot: _Slot, error: str) -> None:
        """Say once that a monitor fails, and once that it works again."""
        name = slot.monitor.name
        failed_before, slot.error = bool(slot.error), error
        if error and not failed_before:
            self._events.append(
                AgentEvent(
                    kind=EventKind.MONITOR_FAILED,
                    severity=Severity.WARNING,
                    message=f"The monitor '{name}' fails: {error}.",
                    attributes={"monitor": name, "error": error},
                )
            )
        elif failed_before and not error:
            self._events.append(
                AgentEvent(
                    kind=EventKind.MONITOR_RECOVERED,
                    severity=Severity.INFO,
                    message=f"The monitor '{name}' works again.",
                    attributes={"monitor": name},
                )
            )

    def _arrange(self, now: float, changed: Iterable[_Slot], *, announce: bool) -> None:
        """Give every monitor its place in a new row, keep what was read, and read those that changed again."""
        before = [(slot.monitor, slot.series) for slot in self._slots]
        old_values, series = self._values, list[Series]()
        values: array[float] = array("d")
        size = 0
        for slot in self._slots:
            found = slot.monitor.series
            encoded = len(msgspec.msgpack.encode(found))
            slot.left_out = _unfit(found, size + encoded)
            if slot.left_out:
                found = _NO_SERIES
                self._report(slot, slot.left_out)
            else:
                size += encoded
            kept = found is slot.series
            row = old_values[slot.start : slot.start + len(found)] if kept else array("d", [NAN]) * len(found)
            slot.start, slot.series = len(values), found
            values.extend(row)
            series.extend(found)
        self._own_start = len(values)
        for slot in self._slots:
            series.append(gauge("cybercorp.monitor.duration", "s", monitor=slot.monitor.name))
            series.append(gauge("cybercorp.monitor.success", "1", monitor=slot.monitor.name))
            values.extend((NAN, NAN))
        self._values = values
        former, self._catalogue = self._catalogue, make_catalogue(series)
        for slot in self._slots:
            self._write_own(slot)
        for slot in changed:
            self._read(slot, now)
        if announce and former.id != self._catalogue.id:
            self._events.append(_changed(before, self._slots, self._catalogue))


def _unfit(series: tuple[Series, ...], total_bytes: int) -> str:
    """Why these series cannot be part of the catalogue; empty where they can."""
    if not series:
        return ""
    if total_bytes > CATALOGUE_BYTES:
        return f"its {len(series)} series do not fit into the catalogue any more; narrow it in the agent's settings"
    if len({one.key for one in series}) != len(series):
        return "it names a series twice"
    return ""


def _reason(error: Exception) -> str:
    """An exception in a line."""
    text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    named = f"{error.filename}: {text}" if isinstance(error, OSError) and error.filename else text
    return (named or type(error).__name__)[:300]


def _changed(before: list[tuple[Monitor, tuple[Series, ...]]], slots: list[_Slot], catalogue: Catalogue) -> AgentEvent:
    """The event that says which devices came and which went."""
    came: list[str] = []
    went: list[str] = []
    for (monitor, old), slot in zip(before, slots, strict=True):
        if old is not slot.series:
            old_devices, new_devices = _devices(monitor, old), _devices(monitor, slot.series)
            came += [f"{monitor.name} {one}".strip() for one in new_devices if one not in old_devices]
            went += [f"{monitor.name} {one}".strip() for one in old_devices if one not in new_devices]
    said = [f"{_listed(names)} {verb}" for names, verb in ((came, "came"), (went, "went")) if names]
    return AgentEvent(
        kind=EventKind.CATALOGUE_CHANGED,
        severity=Severity.INFO,
        message=f"{'; '.join(said) or 'The series changed'}.",
        attributes={"catalogue": catalogue.id, "came": _listed(came), "went": _listed(went)},
    )


def _devices(monitor: Monitor, series: tuple[Series, ...]) -> dict[str, None]:
    """The devices of a monitor in order; for one without devices, itself as soon as it has series."""
    if not monitor.devices:
        return {"": None} if series else {}
    named = (one.attributes.get(attribute) for one in series for attribute in monitor.devices)
    return {name: None for name in named if name}


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED_DEVICES
    return ", ".join(names[:_NAMED_DEVICES]) + (f" and {more} more" if more > 0 else "")
