"""The time bar's picture: one value per column of a window, event marks above it, the cursor on it.

Columns are whole multiples of their length on the clock, so that the bar moves by one column at a time and never
flickers in between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from cybercorp.protocol.events import Event, Severity
from cybercorp.protocol.metrics import QueryAnswer
from cybercorp.tui.state.lines import Tone

_MARKS = {Severity.WARNING: ("▲", Tone.WARNING, 1), Severity.ERROR: ("✖", Tone.ERROR, 2)}
_KEPT_EVENTS = 2000
_SETTLED_MS = 2_000  # samples are stored a moment after they were taken


class Columns(NamedTuple):
    """`length` columns of `step_ms` from `start_ms` (a multiple of it)."""

    start_ms: int
    step_ms: int
    length: int

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.length * self.step_ms

    def column_at(self, at_ms: int) -> int | None:
        """The column of an instant, None outside."""
        column = (at_ms - self.start_ms) // self.step_ms
        return column if 0 <= column < self.length else None

    def instant_of(self, column: int) -> int:
        """The last millisecond of a column: what was true at its end."""
        return self.start_ms + (column + 1) * self.step_ms - 1


class Mark(NamedTuple):
    """The worst thing that happened in a column, and when."""

    glyph: str
    tone: Tone
    at_ms: int


def columns_for(start_ms: int, end_ms: int, width: int) -> Columns:
    """The columns that show a window in at most `width` cells; whole seconds each."""
    width = max(width, 1)
    step = max(math.ceil((end_ms - start_ms) / width / 1000), 1) * 1000
    count = max(min((end_ms - start_ms) // step, width), 1)
    last = (end_ms - 1) // step * step + step
    return Columns(last - count * step, step, count)


class TimeTrack:
    """Values by column start, for one column length; and the events to mark."""

    def __init__(self) -> None:
        self._step_ms = 0
        self._values: dict[int, float] = {}
        self._events: dict[int, Event] = {}
        self._known: tuple[int, int] | None = None

    @property
    def step_ms(self) -> int:
        """The column length that values are known for; 0 before the first."""
        return self._step_ms

    def clear(self) -> None:
        """Forget values and marks: another subject is shown."""
        self._step_ms = 0
        self._known = None
        self._values.clear()
        self._events.clear()

    def doubt(self) -> None:
        """What is known may have holes that are filled by now: the next question is for the whole window."""
        self._known = None

    def missing(self, columns: Columns) -> tuple[int, int]:
        """The span to ask for to fill the columns: the whole, or what is newer than what is known; empty: nothing."""
        if self._known is None or self._step_ms != columns.step_ms:
            return columns.start_ms, columns.end_ms
        start, end = self._known
        if columns.start_ms < start or columns.start_ms > end:
            return columns.start_ms, columns.end_ms
        return end, max(columns.end_ms, end)

    def fill(self, answer: QueryAnswer, since_ms: int, until_ms: int, *, now_ms: int) -> None:
        """Take the mean over the answer's series, step by step. Another step than before starts anew.

        A step that was not over at `now_ms`, when it was asked for, is asked for again.
        """
        known = self._known
        step_ms = answer.step_ms
        apart = known is not None and (since_ms > known[1] or until_ms < known[0])
        if answer.step_ms != self._step_ms or apart:
            self._values.clear()
            self._step_ms = answer.step_ms
            known = None
        over_ms = max(min(until_ms, (now_ms - _SETTLED_MS) // step_ms * step_ms), since_ms)
        known = known or (since_ms, over_ms)
        self._known = (min(since_ms, known[0]), max(over_ms, known[1]))
        for index, value in enumerate(_means([one.values for one in answer.series], answer.points)):
            start = answer.start_ms + index * answer.step_ms
            start -= start % answer.step_ms
            if value is not None:
                self._values[start] = value

    def trim(self, columns: Columns) -> None:
        """Forget what lies far outside the window."""
        low = columns.start_ms - columns.length * columns.step_ms
        high = columns.end_ms + columns.length * columns.step_ms
        if len(self._values) > 4 * columns.length:
            self._values = {start: value for start, value in self._values.items() if low <= start <= high}
        if len(self._events) > _KEPT_EVENTS:
            newest = sorted(self._events)[-_KEPT_EVENTS // 2 :]
            self._events = {one: self._events[one] for one in newest}

    def add_events(self, events: Sequence[Event]) -> None:
        """Mark these events; information is not marked."""
        self._events.update({one.id: one for one in events if one.severity in _MARKS})

    def values(self, columns: Columns) -> list[float | None]:
        """One value per column, None where nothing is known."""
        step = self._step_ms
        if step >= columns.step_ms:
            starts = range(columns.start_ms, columns.end_ms, columns.step_ms)
            return [self._values.get(start - start % step) for start in starts]
        # Shorter steps than the columns: the zoom changed, and the answer for the new one is not here yet.
        found: list[float | None] = [None] * columns.length
        for start, value in self._values.items():
            column = columns.column_at(start)
            if column is not None:
                found[column] = max(value, found[column] or 0.0)
        return found

    def marks(self, columns: Columns, *, host_id: str | None = None) -> dict[int, Mark]:
        """The worst event of each column, of one host or of all."""
        found: dict[int, tuple[int, Mark]] = {}
        for event in self._events.values():
            column = columns.column_at(event.time_ms)
            if column is None or (host_id is not None and event.host_id not in (host_id, None)):
                continue
            glyph, tone, weight = _MARKS[event.severity]
            if column not in found or found[column][0] < weight:
                found[column] = (weight, Mark(glyph, tone, event.time_ms))
        return {column: mark for column, (_, mark) in found.items()}


def _means(series: Sequence[Sequence[float | None]], points: int) -> list[float | None]:
    sums, counts = [0.0] * points, [0] * points
    for values in series:
        for index, value in enumerate(values[:points]):
            if value is not None and math.isfinite(value):
                sums[index] += value
                counts[index] += 1
    return [total / count if count else None for total, count in zip(sums, counts, strict=True)]
