"""The event log as a person reads it: filtered, growing at one end and paged in at the other."""

from __future__ import annotations

import bisect
import fnmatch
from collections.abc import Sequence
from typing import NamedTuple

from cybercorp.protocol.events import Event, Severity
from cybercorp.security.display import safe_text
from cybercorp.tui.state.instant import describe_instant
from cybercorp.tui.state.lines import Line, Run, Tone, left

_KEPT = 20_000
SEVERITIES = {
    Severity.INFO: ("·", Tone.MUTED),
    Severity.WARNING: ("▲", Tone.WARNING),
    Severity.ERROR: ("✖", Tone.ERROR),
}
MARK = 4
_KIND, _HOST = 20, 20


class EventRow(NamedTuple):
    """One event, its texts made safe."""

    id: int
    time_ms: int
    severity: Severity
    kind: str
    host_id: str | None
    host: str
    message: str
    attributes: tuple[tuple[str, str], ...]


def make_row(event: Event) -> EventRow:
    """An event of the protocol for the screen: here foreign text enters the dashboard."""
    attributes = tuple((safe_text(k, 60), safe_text(v, 300)) for k, v in sorted(event.attributes.items())[:40])
    return EventRow(
        event.id,
        event.time_ms,
        event.severity,
        safe_text(event.kind, 60),
        event.host_id,
        safe_text(event.host or "", 64),
        safe_text(event.message, 500),
        attributes,
    )


class EventWords(NamedTuple):
    """What a log of this kind calls its things: the heads of its columns, and the labels of its details."""

    title: str = "Event"
    heads: tuple[str, str, str] = ("HOST", "KIND", "WHAT HAPPENED")
    labels: tuple[str, str] = ("host", "kind")
    nobody: str = "the server"


EVENT_WORDS = EventWords()


class EventFilter(NamedTuple):
    """Words that must all hold: `kind=host.*`, `host=web-*`, `severity=error`, or a piece of any text."""

    kinds: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def matches(self, row: EventRow) -> bool:
        text = f"{row.kind} {row.host} {row.message}".lower()
        return (
            all(fnmatch.fnmatchcase(row.kind, glob) for glob in self.kinds)
            and all(fnmatch.fnmatchcase(row.host, glob) for glob in self.hosts)
            and all(fnmatch.fnmatchcase(row.severity.value, glob) for glob in self.severities)
            and all(word in text for word in self.words)
        )


_SAME = {"actor": "host", "operation": "kind"}  # what the audit trail calls them


def parse_filter(text: str) -> EventFilter:
    """Read a filter; every text is one."""
    found: dict[str, list[str]] = {"kind": [], "host": [], "severity": [], "": []}
    for word in text.split():
        key, sign, glob = word.partition("=")
        key = _SAME.get(key, key)
        if sign and key in found and key:
            found[key].append(glob if "*" in glob or "?" in glob else f"{glob}*" if key == "kind" else glob)
        else:
            found[""].append(word.lower())
    return EventFilter(tuple(found["kind"]), tuple(found["host"]), tuple(found["severity"]), tuple(found[""]))


class EventsModel:
    """Events by their id. `rows` are those that match, in the order in which they are shown."""

    def __init__(self, words: EventWords = EVENT_WORDS) -> None:
        self.words = words
        self.newest_first = True
        self.filter_text = ""
        self.complete = False  # nothing older exists
        self.known = False
        self.cursor = 0
        self.selected: int | None = None
        self._filter = EventFilter()
        self._all: list[EventRow] = []  # by id
        self._matching: list[EventRow] = []

    @property
    def oldest_id(self) -> int | None:
        """The oldest event that is loaded."""
        return self._all[0].id if self._all else None

    @property
    def newest_id(self) -> int | None:
        """The newest event that is loaded."""
        return self._all[-1].id if self._all else None

    @property
    def count(self) -> int:
        """How many rows are shown."""
        return len(self._matching)

    @property
    def loaded(self) -> int:
        """How many events are loaded."""
        return len(self._all)

    def row(self, index: int) -> EventRow:
        """A shown row."""
        return self._matching[len(self._matching) - 1 - index if self.newest_first else index]

    @property
    def selected_row(self) -> EventRow | None:
        """The row under the cursor."""
        return self.row(self.cursor) if 0 <= self.cursor < self.count else None

    def clear(self) -> None:
        """Forget everything: another span of time is shown."""
        self._all.clear()
        self._matching.clear()
        self.known = self.complete = False
        self.cursor = 0
        self.selected = None

    def add(self, events: Sequence[Event]) -> int:
        """Take events, in any order, known or not; how many shown rows they added before the cursor."""
        ids = {row.id for row in self._all[-len(events) - 1000 :]} | {row.id for row in self._all[: len(events) + 1000]}
        fresh = [make_row(one) for one in events if one.id not in ids]
        if not fresh:
            self.known = True
            return 0
        for row in fresh:
            if self._all and row.id < self._all[-1].id:
                bisect.insort(self._all, row, key=_id)
            else:
                self._all.append(row)
        if len(self._all) > _KEPT:
            del self._all[: len(self._all) - _KEPT]
            self.complete = False
        self.known = True
        before = self.cursor
        self._select_again()
        return self.cursor - before

    def filter_by(self, text: str) -> None:
        """Show only what matches."""
        self.filter_text = text.strip()
        self._filter = parse_filter(text)
        self._select_again()

    def turn(self) -> None:
        """The other end first."""
        self.newest_first = not self.newest_first
        self._select_again()

    def move_to(self, index: int) -> None:
        """Select a row. The first row of newest-first is not held: there the newest stays selected."""
        self.cursor = min(max(index, 0), max(self.count - 1, 0))
        row = self.selected_row
        self.selected = None if row is None or (self.newest_first and self.cursor == 0) else row.id

    def _select_again(self) -> None:
        self._matching = [row for row in self._all if self._filter.matches(row)]
        if self.selected is None:
            self.cursor = min(self.cursor, max(self.count - 1, 0)) if not self.newest_first else 0
            return
        at = bisect.bisect_left(self._matching, self.selected, key=_id)
        at = min(at, max(self.count - 1, 0))
        self.cursor = self.count - 1 - at if self.newest_first and self.count else at


def _id(row: EventRow) -> int:
    return row.id


def head_line(model: EventsModel, width: int) -> Line:
    """The heads; time carries the arrow of the order."""
    arrow = "▼" if model.newest_first else "▲"
    host = _HOST if width >= 100 else 14
    kind = _KIND if width >= 100 else 18
    return [
        Run(" " * MARK),
        Run(left(f"TIME {arrow}", 15), Tone.ACCENT),
        Run(" "),
        Run(left(model.words.heads[0], host), Tone.MUTED),
        Run(" "),
        Run(left(model.words.heads[1], kind), Tone.MUTED),
        Run(" "),
        Run(model.words.heads[2], Tone.MUTED),
    ]


def row_line(row: EventRow, width: int, *, now_ms: int, selected: bool = False, ascii: bool = False) -> Line:
    """One event."""
    glyph, tone = SEVERITIES[row.severity]
    host = _HOST if width >= 100 else 14
    kind = _KIND if width >= 100 else 18
    quiet = row.severity is Severity.INFO
    return [
        Run("▌" if selected else " ", Tone.FOCUS),
        Run(" "),
        Run(glyph, tone),
        Run(" "),
        Run(left(describe_instant(row.time_ms, now_ms), 15), Tone.MUTED),
        Run(" "),
        Run(left(row.host, host, ascii=ascii), Tone.TITLE),
        Run(" "),
        Run(left(row.kind, kind, ascii=ascii), Tone.MUTED if quiet else tone),
        Run(" "),
        Run(row.message, Tone.TEXT),
    ]
