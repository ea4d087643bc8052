"""Recent values of series that were asked for before: decoded once, kept in memory, brought up to date by each query.

A panel belongs to the selectors of a query, a track to one host in it. A track holds every row that arrived from
`from_ms` on, in order of arrival: those of sealed blocks first, then unsealed ones. Blocks are numbered in order of
arrival, which merging keeps, so a track knows which of them it has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cybercorp.protocol.metrics import MetricSelector, Series
from cybercorp.store.timeseries.log.head import Packed, Part
from cybercorp.store.timeseries.reading.aggregations import is_increasing
from cybercorp.store.timeseries.reading.pictures import head_columns
from cybercorp.store.timeseries.rows import Floats, Integers
from cybercorp.store.timeseries.state import HeadRow, HostState

MAX_TRACK_COLUMNS = 8
_SLACK_ROWS = 8192

Chosen = tuple[MetricSelector, ...]


class Column(NamedTuple):
    """A series that a selector matches: its place in a catalogue, its canonical key, itself."""

    place: int
    key: str
    series: Series


class Piece(NamedTuple):
    """Rows of one chunk: `values` [columns, rows] in the order of the catalogue's columns."""

    catalogue: int
    timestamps: Integers
    values: Floats


class Track:
    """One host's rows. The first `sealed` of them came from blocks before `block`; `batch` is the newest it has seen.

    `waiting` has the log entry of each row that is not sealed.
    """

    __slots__ = (
        "batch",
        "block",
        "columns",
        "first_ms",
        "from_ms",
        "increasing",
        "last_ms",
        "owner",
        "rows",
        "sealed",
        "seen",
        "times",
        "values",
        "waiting",
    )

    def __init__(self, owner: HostState, from_ms: int) -> None:
        self.owner = owner
        self.from_ms = from_ms
        self.columns: dict[str, Series] = {}
        self.seen: dict[str, tuple[int, int]] = {}  # when a catalogue had the series: first and last
        self.block = 0
        self.batch = 0
        self.rows = self.sealed = 0
        self.waiting: list[int] = []
        self.increasing = True
        self.first_ms = self.last_ms = 0  # of a track that is `increasing`
        self.times: Integers = np.empty(0, dtype=np.int64)
        self.values: Floats = np.empty((0, 0))

    @property
    def size_bytes(self) -> int:
        return self.times.nbytes + self.values.nbytes

    def between(self, start_ms: int, end_ms: int) -> tuple[Integers, Floats]:
        """Rows of `[start_ms, end_ms)` (of a track that is not `increasing`: all): [rows], [columns, rows]."""
        low, high = 0, self.rows
        if self.increasing and high:
            if self.first_ms < start_ms:
                low = int(self.times[:high].searchsorted(start_ms))
            if self.last_ms >= end_ms:
                high = int(self.times[:high].searchsorted(end_ms))
        return self.times[low:high], self.values[:, low:high]

    def append(self, timestamps: Integers, values: Floats) -> None:
        """Rows that arrived: [rows], [columns, rows]."""
        count = len(timestamps)
        end = self.rows + count
        if end > len(self.times) or len(self.values) != len(self.columns):
            room = max(64, end + end // 4)
            times, held = np.empty(room, dtype=np.int64), np.empty((len(self.columns), room))
            times[: self.rows] = self.times[: self.rows]
            held[: len(self.values), : self.rows] = self.values[:, : self.rows]
            self.times, self.values = times, held
        self.times[self.rows : end] = timestamps
        self.values[:, self.rows : end] = values
        if count and self.increasing:
            first = int(timestamps[0])
            if not self.rows:
                self.first_ms = first
            self.increasing = (not self.rows or first > self.last_ms) and is_increasing(timestamps)
            self.last_ms = int(timestamps[-1])
        self.rows = end

    def cut(self) -> None:
        """Forget the rows that are not sealed: they come again with the blocks."""
        self.rows, self.waiting = self.sealed, []
        if self.rows:
            self.last_ms = int(self.times[self.rows - 1])

    def trim(self, start_ms: int) -> None:
        """Forget sealed rows before `start_ms`, when they are the larger part by far."""
        if not self.increasing or self.rows < _SLACK_ROWS:
            return
        gone = min(int(self.times[: self.rows].searchsorted(start_ms)), self.sealed)
        if gone > 7 * (self.rows - gone) + _SLACK_ROWS:
            self.times = self.times[gone : self.rows].copy()
            self.values = self.values[:, gone : self.rows].copy()
            self.rows -= gone
            self.sealed -= gone
            self.first_ms = int(self.times[0]) if self.rows else 0
            self.from_ms = start_ms


def matching(series: Sequence[Series], selectors: Sequence[MetricSelector]) -> list[Column]:
    """The series of a catalogue that one of the selectors means."""
    return [
        Column(place, one.key, one)
        for place, one in enumerate(series)
        if any(selector.matches(one) for selector in selectors)
    ]


def head_pieces(head: Sequence[HeadRow], columns_of: Callable[[int], Sequence[Column]]) -> list[Piece]:
    """Unsealed rows, cut where the catalogue changes."""
    pieces = []
    at = 0
    while at < len(head):
        number, start = head[at].catalogue, at
        while at < len(head) and head[at].catalogue == number:
            at += 1
        rows = head[start:at]
        timestamps = np.array([row.timestamp_ms for row in rows], dtype=np.int64)
        pieces.append(Piece(number, timestamps, head_columns(rows, [one.place for one in columns_of(number)])))
    return pieces


def newest_of(owner: HostState) -> int:
    """The last log entry with rows of this host."""
    head = owner.head
    if head.tail:
        return head.tail[-1][0]
    return last_of(head.parts[-1]) if head.parts else owner.sealed


def last_of(part: Part) -> int:
    """The newest log entry with rows of a part of a head."""
    return part.last if isinstance(part, Packed) else int(part.entries[-1])
